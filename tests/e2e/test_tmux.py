"""`run --tmux` on a real tmux: text that tmux would expand, split or run stays text."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest

from tests.e2e.conftest import Harnex

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux on the PATH")


def tmux(harnex: Harnex, *words: str) -> str:
    done = subprocess.run(["tmux", *words], env=harnex.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def names(harnex: Harnex) -> list[str]:
    return tmux(harnex, "list-windows", "-t", "=harnex:", "-F", "#{window_name}").split("\n")


def opened(harnex: Harnex, session_id: str, name: str) -> str:
    """Start a session in a window of that name. Returns where the window is."""
    words = ("run", "demo", f"--tmux={name}", "--id", session_id, "--rehearse", harnex.script("Hello."))
    reply = harnex.json(*words)
    assert reply["ok"]
    return str(reply["tmux"])


NAMES = (
    "x#(touch {mark})y", "#{{E:#(touch {mark})}}", "#{{?1,#(touch {mark}),}}", "#[fg=red]#(touch {mark})", "##(touch {mark})",
    "###(touch {mark})", "%Y#(touch {mark})%%", "$(touch {mark})`touch {mark}`", "x; run-shell 'touch {mark}'", "x' \\; run-shell 'touch {mark}",
)  # fmt: skip


def test_no_name_runs_anything(harnex: Harnex) -> None:
    """Also when the name is drawn in a status line, which tmux does only for somebody who looks."""
    mark = harnex.base / "mark"
    wanted = [name.format(mark=mark) for name in NAMES]
    for number, name in enumerate(wanted):
        opened(harnex, f"s{number}", name)
    seen = harnex.base / "seen"
    for option, value in (
        ("status-interval", "1"), ("set-titles", "on"), ("window-status-format", "#W|"), ("status-right", f"#(touch {seen})"),
    ):  # fmt: skip
        tmux(harnex, "set-option", "-g", option, value)
    client = pexpect.spawn("tmux", ["attach", "-t", "=harnex"], env=harnex.env, dimensions=(50, 250))  # type: ignore[arg-type]
    try:
        # Each window is current once: its name is in the title, too.
        for number in range(len(wanted)):
            tmux(harnex, "select-window", "-t", f"=harnex:{number}")
            # A job that the status line itself names has run, after the names were drawn.
            for _ in range(2):
                seen.unlink(missing_ok=True)
                client.expect(pexpect.TIMEOUT, timeout=0.1)
                harnex.until(lambda: client.expect([".", pexpect.TIMEOUT], timeout=0.01) in (0, 1) and seen.exists())
    finally:
        client.close(force=True)
    assert not mark.exists()
    # tmux keeps the second `#` of `##[` in a name, because it looks for
    # styles when it draws the name.
    assert [n.replace("##[", "#[") for n in names(harnex)] == wanted
    for number in range(len(wanted)):
        harnex.ok("stop", "--force", "--id", f"s{number}")


@pytest.mark.parametrize("name", ["a;", ";", "a\\;", "#", "a#", "#,", "#}", "é ☃", "%H:%M", "#S", "x\\"])
def test_a_name_is_shown_as_it_was_given(harnex: Harnex, name: str) -> None:
    opened(harnex, "w", name)
    assert names(harnex) == [name]
    harnex.ok("stop", "--force", "--id", "w")


def test_control_characters_do_not_reach_tmux(harnex: Harnex) -> None:
    opened(harnex, "w", "a\x1b]0;b\x07c\nd")
    assert names(harnex) == [r"a\u001b]0;b\u0007c\u000ad"]
    harnex.ok("stop", "--force", "--id", "w")


@pytest.mark.parametrize("shell", ["sh", "csh", "fish", "false"])
def test_odd_places_and_shells_do_not_matter(harnex: Harnex, shell: str) -> None:
    """The window's command is a list of words, which no shell reads: neither a state directory nor
    a login shell can break it."""
    mark = harnex.base / "mark"
    state = harnex.base / f"st'a\"te #(touch {mark.name}) $(touch {mark.name}) `x` \\ ! \n;"
    harnex.env |= {"HARNEX_STATE_DIR": str(state), "SHELL": shutil.which(shell) or "/bin/sh"}
    where = opened(harnex, "w", "w")

    def shown() -> str:
        return tmux(harnex, "capture-pane", "-p", "-t", where)

    harnex.until(lambda: "harnex demo agent" in shown(), what="the window shows the agent")
    assert not mark.exists() and not (harnex.work / mark.name).exists()
    harnex.ok("stop", "--force", "--id", "w")
    assert json.loads(harnex.ok("status", "--json")) == []
    assert Path(state).is_dir()


def test_inside_of_tmux_the_window_opens_beside_ours(harnex: Harnex) -> None:
    """`new-window` without a target: the name is the only text of ours."""
    mark = harnex.base / "mark"
    tmux(harnex, "new-session", "-d", "-s", "mine", "-x", "100", "-y", "30", "sleep", "1000")
    harnex.env["TMUX"] = tmux(harnex, "display-message", "-p", "#{socket_path},#{pid},#{session_id}").replace("$", "")
    where = opened(harnex, "w", f"x#(touch {mark})y")
    assert where.endswith(":1.0")
    assert f"x#(touch {mark})y" in tmux(harnex, "list-windows", "-a", "-F", "#{window_name}").split("\n")
    assert not mark.exists()
    harnex.ok("stop", "--force", "--id", "w")

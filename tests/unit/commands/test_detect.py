"""`harnex detect`: what one screen says, how sure that is, and what would make it sure.

The screens in the tables are of kinds that were seen in files that others published, made small and with details
replaced; those of `tests/corpus` are of the real CLIs. What is held against all of the corpus: a state that is told as
certain, from the text alone, is the true one.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harnex.agents.catalogue import adapter_for
from harnex.agents.codex.adapter import ADAPTER as CODEX
from harnex.commands import detect
from harnex.machines.activity import Activity
from harnex.model.facts import Observation, ScreenView, State
from harnex.store import replay as casts
from harnex.supervisor.feed import FRAME_S, Terminal
from tests.record import CORPUS, NoScript, read_text
from tests.replay import Case, case_paths, load, output_of

NEWEST = {"claude": (2, 1, 329), "codex": (0, 169, 0)}


def lines(text: str) -> ScreenView:
    rows = tuple(line.rstrip() for line in text.strip("\n").split("\n"))
    return ScreenView(rows, columns=max(map(len, rows)), cursor_known=False)


def said(cli: str, view: ScreenView, version: tuple[int, ...] | None = None) -> tuple[str, str | None, bool]:
    row = detect.judge(adapter_for(cli), version or NEWEST[cli], view)
    assert row["certain"] == (not row["needs"])
    assert row["certain"] == ("not certain" not in row["reason"] and row["source"] is not None)
    return row["state"], row["dialog"], row["certain"]


RULE = "─" * 60

CLAUDE = {
    "the browser page of the first start": (
        (
            "Welcome to Claude Code v2.1.14\n…………………………\n\n     *          █████▓▓░\n…………………………\n\n"
            " Browser didn't open? Use the url below to sign in (c to copy)\n\nhttps://claude.example/oauth?code=true\n\n\n"
            " Paste code here if prompted >"
        ),
        "login",
    ),
    "the browser is opened": ("Welcome to Claude Code v2.0.5\n…………………………\n\n ✽ Opening browser to sign in…", "login"),
    "an error of the sign-in": (
        " OAuth error: Invalid code. Please make sure\n the full code was copied\n\n Press Enter to retry.",
        "login",
    ),
    "signed in": (
        "Welcome to Claude Code v2.1.14\n\n Logged in as a@b.example\n Login successful. Press Enter to continue…",
        "login",
    ),
    "the theme of the first start": (
        (
            "Welcome to Claude Code v2.1.29\n…………………………\n\n Let's get started.\n\n"
            " Choose the text style that looks best with your terminal\n To change this later, run /theme\n\n"
            " ❯ 1. Dark mode ✔\n   2. Light mode\n   3. Dark mode (ANSI colors only)\n\n╌╌╌╌╌╌╌╌╌╌╌╌╌╌\n 1  function greet() {\n"
            ' 2 -  console.log("Hello, World!");\n╌╌╌╌╌╌╌╌╌╌╌╌╌╌\n Syntax theme: GitHub (ctrl+t to disable)'
        ),
        "login",
    ),
    "the notes of the first start": (
        "Welcome to Claude Code v2.1.14\n\n Security notes:\n\n  Claude can make mistakes\n\n Press Enter to continue…",
        "login",
    ),
    "the terminal's set-up": (
        (
            " Use Claude Code's terminal setup?\n\n For the optimal coding experience\n\n"
            " ❯ 1. Yes, use recommended settings\n   2. No, maybe later with /terminal-setup\n\n Enter to confirm · Esc to skip"
        ),
        "login",
    ),
    "settings, the search has the caret": (
        f"● An answer.\n\n❯ /config\n{RULE}\n  Settings  Status   Config   Usage\n\n  ╭──────────────╮\n"
        "  │ ⌕ Search settings… │\n  ╰──────────────╯\n\n"
        + "\n".join(f"    Setting number {n}            true" for n in range(14))
        + "\n    Continue at usage limit     on\n\n  ↓ 9 more below\n\n  Type to filter · Enter/↓ to select · Esc to clear",
        "other",
    ),
    "a panel of ticks": (
        (
            f"❯ /plugin\n{RULE}\n  Plugins  Discover   Installed\n\n  ❯ ✔ docs     Plugin\n    ✔ review   Plugin\n\n"
            "  Space to toggle · Enter to select · Esc to close"
        ),
        "other",
    ),
    "a panel of a theme": (
        f"❯ /theme\n{RULE}\n  Theme\n\n    ✔ Dark mode\n  ❯   Light mode\n\n  Enter to select · Esc to cancel",
        "other",
    ),
    "a panel that speaks of limits": (
        f"❯ /fast\n{RULE}\n  Fast mode\n  Separate rate limits apply.\n\n  Learn more: https://docs.example\n\n  Esc to cancel",
        "other",
    ),
    "a code to scan below the keys": (
        f"❯ /mobile\n{RULE}\n  Get the app\n\n  Esc to close\n\n"
        + "\n".join("    █▀▀▀▀▀█ ▄███ ▄▀█" for _ in range(15)),
        "other",
    ),
    "a page of a panel that is being loaded": (
        "  Settings  Status   Config   Usage   Stats\n\n\n  ✶  Loading your Claude Code stats…",
        "other",
    ),
    "a panel without known keys": (
        f"❯ /agents\n{RULE}\n  Agents\n  No agents found.\n\n  Built-in agents:\n  a · sonnet",
        "other",
    ),
    "the real limit": (
        (
            f"❯ go on\n\n{RULE}\n What do you want to do?\n\n ❯ 1. Stop and wait for limit to reset\n   2. Upgrade your plan\n\n"
            " Enter to confirm · Esc to cancel"
        ),
        "limit",
    ),
    "a key, on a narrow screen": (
        (
            f"{RULE[:38]}\n Detected a custom API key in your\n environment\n\n ANTHROPIC_API_KEY: sk-ant-…x\n\n"
            "   1. Yes\n ❯ 2. No (recommended) ✔\n\n Enter to confirm · Esc to cancel"
        ),
        "api-key",
    ),
    "a question": (
        (
            f"● I ask.\n\n{RULE}\n ☐ Library\n\nWhich one?\n\n❯ 1. This\n  2. That\n  3. Type something.\n\n"
            "Enter to select · ↑/↓ to navigate · Esc to cancel"
        ),
        "question",
    ),
}


@pytest.mark.parametrize("name", CLAUDE)
def test_claude_code_is_blocked(name: str) -> None:
    text, dialog = CLAUDE[name]
    assert said("claude", lines(text)) == ("blocked", dialog, True)


BOX = f"\n\n{RULE}\n❯{{draft}}\n{RULE}\n{{footer}}"
STREAM = "❯ please begin\n\n● A first line, and the second"


@pytest.mark.parametrize(
    ("version", "above", "draft", "footer", "certain"),
    [
        ("2.1.197", STREAM, " ", "  ? for shortcuts · ← for agents", True),
        ("2.1.197", STREAM, " ", "  ⏵⏵ accept edits on (shift+tab to cycle)", True),
        (
            "2.1.197",
            STREAM,
            " half a draft",
            "                 ● high · /effort",
            False,
        ),  # streams: no spinner, no hint
        ("2.1.197", STREAM, " ", "  my own status line", False),
        (
            "2.1.197",
            STREAM,
            " ",
            "  ⏵⏵ bypass permissions on (shift+tab to…",
            False,
        ),  # cut: does it say esc to interrupt?
        ("2.1.197", STREAM + "\n\n✻ Cooked for 4s", " half a draft", "          ● high · /effort", True),
        ("2.1.197", STREAM, " half a draft", "  Esc again to clear", True),
        ("2.0.77", STREAM, " half a draft", "", True),  # its spinner stands as long as a turn
        ("2.0.77", "● Done.\n\n❯ please begin", " ", "  ? for shortcuts", False),  # just sent: the spinner comes late
        ("2.0.77", "● Done.\n\n❯ /mcp\n  ⎿  No servers", " ", "  ? for shortcuts", True),
        ("2.1.329", STREAM, " ", "  ? for shortcuts\n$ ls", False),  # a shell's words below the box: has it ended?
    ],
)
def test_claude_code_at_rest(version: str, above: str, draft: str, footer: str, certain: bool) -> None:
    view = lines(above + BOX.format(draft=draft, footer=footer))
    number = tuple(map(int, version.split(".")))
    assert said("claude", view, number) == ("prompt", None, certain)
    if not certain and version.startswith("2.1") and "ls" not in footer:
        assert said("claude", dataclasses.replace(view, title="⠂ Topic"), number) == ("busy", None, True)
        assert said("claude", dataclasses.replace(view, title="✳ Topic"), number) == ("prompt", None, True)


def test_a_box_with_a_cursor_may_be_what_claude_code_left_behind() -> None:
    """Measured in all versions: the cursor is hidden while it runs; 2.0.77 leaves its box on the screen when it ends."""
    view = lines("● Done." + BOX.format(draft=" ", footer="  ? for shortcuts"))
    for hidden in (True, False):
        shown = ScreenView(view.lines, (len(view.lines), 0), hidden, view.columns)
        assert said("claude", shown, (2, 0, 77)) == ("prompt", None, hidden)


COMPOSER = "\n\n› Ask Codex to do anything\n\n  gpt-9 default · ~/project"
ASKED = "› Mend what fails.\n\n"
HEADER = ">_ OpenAI Codex (v0.{minor}.0)"
WORKING = "• Working (12s • esc to interrupt)"
QUEUE = "\n\n• Queued follow-up inputs\n" + "\n".join(f"  ↳ Follow-up {n}\n    that is long" for n in range(16))

CODEX_BUSY = {
    "the status line": ASKED + WORKING + COMPOSER,
    "with a key of the person's own": ASKED + "• Working (12s • f12 to interrupt)" + COMPOSER,
    "with two keys": ASKED + "◦ Working (1m 02s • ctrl + x ctrl + k to interrupt)" + COMPOSER,
    "with a background terminal": ASKED + WORKING + " · 1 background terminal running · /ps to view" + COMPOSER,
    "cut off": ASKED + "• Working (12s • esc…" + COMPOSER,
    "without animations": ASKED + "Checking files (3s • esc to interrupt)" + COMPOSER,
    "above many messages": ASKED + WORKING + QUEUE + COMPOSER,
    "a draft that would be queued": ASKED + "• Half an answer\n\n› and then\n\n  tab to queue message      98% context left",
    "MCP servers, after a prompt": ASKED + "• Starting MCP servers (0/2): a, b (1s • esc to interrupt)" + COMPOSER,
    "a menu that closes by itself": ASKED + "  Our systems take somewhat longer over this request.\n\n› 1. Dismiss and keep waiting\n"
    "  2. Learn more\n\n  No action is required. Codex will keep waiting, and this menu will close when\n  the response is ready.",
}  # fmt: skip


@pytest.mark.parametrize("name", CODEX_BUSY)
def test_codex_is_busy(name: str) -> None:
    assert said("codex", lines(CODEX_BUSY[name])) == ("busy", None, True)


def test_messages_that_wait_tell_of_a_turn_whose_status_line_is_out_of_sight() -> None:
    view = lines(QUEUE + COMPOSER)
    assert said("codex", view) == ("busy", None, False)
    assert said("codex", dataclasses.replace(view, title="⠏ work")) == ("busy", None, True)
    assert said("codex", dataclasses.replace(view, title="work")) == ("prompt", None, True)


def test_codex_is_busy_with_no_key_to_interrupt_it() -> None:
    """An answer may end with such words, so that the title has the last one. Measured with `interrupt_turn=[]` (0.169)."""
    view = lines(ASKED + "• Working (2s)" + COMPOSER)
    assert said("codex", view) == ("busy", None, False)
    assert said("codex", dataclasses.replace(view, title="⠏ work")) == ("busy", None, True)
    assert said("codex", dataclasses.replace(view, title="work")) == ("prompt", None, True)
    live = ScreenView(view.lines, (len(view.lines) - 3, 2), columns=view.columns)
    assert said("codex", live, (0, 104, 0))[0] == "prompt"  # which had no such setting, and no title


CODEX_BLOCKED = {
    "an increase to be asked for": (
        ("  Usage limit reached\n  Request a limit increase from your owner. Request increase?\n\n  1. Yes (y)\n› 2. No (default) (n)\n\n"
        "  Press enter to confirm or esc to go back"),
        "limit",
    ),
    "credits are used up": (
        ("  You've reached your workspace credit limit\n  Notify owner?\n\n  1. Yes (y)\n› 2. No (n)\n\n"
        "  Press enter to confirm or esc to go back"),
        "limit",
    ),
    "a list": (
        ASKED + "• Done.\n\n  Select Model\n\n› 1. gpt-9 (current)  The best\n  2. gpt-9-mini       Fast\n\n"
        "  Press enter to confirm or esc to go back",
        "other",
    ),
    "a list without keys": ("  How was this?\n\n› 1. bug          It crashed.\n  2. good result  It helped,\n                  a lot.", "other"),
    "a list to search in": (
        ASKED + "• Done.\n\n  Select Theme\n\n  Type to filter\n  dark\n› light (current)\n↓\n  enter select · esc back",
        "other",
    ),
    "ticks": ("  Experimental features\n\n› [ ] Snapshots  Undo.\n  [x] Shell\n\n  Press space to select or enter to save", "other"),
    "a table": (
        ASKED + "  Hooks\n  Event        Installed\n\n  PreToolUse   2\n  Stop         0\n\n  Press enter to view hooks; esc to close",
        "other",
    ),
    "a text to be written": (ASKED + "• Done.\n\n▌ Rename thread\n▌\n▌ A title\n\nPress enter to confirm or esc to go back", "other"),
    "keys over two lines": ("  Hooks\n\n  [x] Hook 1\n\n  Press space or enter to toggle; esc to go\n  back", "other"),
    "a page of keys": ("  > Import setup\n\n    [x] Tools\n\n  › 1. Import\n    2. Cancel\n\n  Use ↑/↓ to move, enter to select, c to customize", "other"),
    "a picker, on a narrow screen": (
        (" Resume a previous session\n\n Type...  Filter:[Cwd]\n\n  ❯ 2s ago      hello\n\n──── 1 / 1 · 100% ─\n enter   esc   ctrl+c   tab\n"
        " ctrl+o   ctrl+t   ctrl+e"),
        "resume",
    ),
    "an approval": (
        ASKED + "  Would you like to run the following command?\n\n  $ touch f\n\n› 1. Yes, proceed (y)\n  2. No (esc)\n\n"
        "  Press enter to confirm or esc to cancel",
        "permission",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CODEX_BLOCKED)
def test_codex_is_blocked(name: str) -> None:
    text, dialog = CODEX_BLOCKED[name]
    view = lines(text)
    assert said("codex", view) == ("blocked", dialog, True)
    known = ScreenView(view.lines, (len(view.lines) - 1, 0), cursor_hidden=True, columns=view.columns)
    assert said("codex", known)[:2] == ("blocked", dialog)


CODEX_OPEN = {
    "a list of files": ASKED + "• Done.\n\n› @re\n> README.md   File\n  src/re.py   File\n\n  enter insert · esc close · ←/→ switch",
    "a list of skills": ASKED + "• Done.\n\n› $sa\n\n  Sample Plugin  [Plugin] Skills\n\n  Press enter to insert or esc to close",
    "the keys": ASKED + "• Done.\n\n› Ask\n\n  / for commands    tab to queue message\n  ctrl + g to edit in external editor   ctrl + c to exit\n"
    "  ctrl + t to view transcript",
    "a side conversation": ASKED + "• Done.\n\n› Ask a follow-up\n\n  gpt-9 · ~/project\n  Side from main thread · ^/ to switch · ^c to close",
    "a draft that looks like a list": ASKED + "• Done.\n\n› 1. Look.\n  2. Leap.\n\n  gpt-9 default · ~/project",
    "a draft that names keys": ASKED + "• Done.\n\n› press enter to confirm or esc to go back\n\n  gpt-9 default · ~/project",
    "words of an answer": ASKED + "• Press enter to confirm or esc to go back." + COMPOSER,
}  # fmt: skip


@pytest.mark.parametrize("name", CODEX_OPEN)
def test_codex_is_not_blocked_by_what_stands_at_its_composer(name: str) -> None:
    view = lines(CODEX_OPEN[name])
    assert said("codex", view)[0] == "prompt"
    row = max(n for n, line in enumerate(view.lines) if line.startswith("› "))
    at_it = ScreenView(view.lines, (row, 4), columns=view.columns, title="work")
    assert said("codex", at_it) == ("prompt", None, True)


def test_an_answer_that_streams_is_told_from_rest_by_the_title_only() -> None:
    view = lines(ASKED + "• A first line, and the second" + COMPOSER)
    row = detect.judge(CODEX, (0, 145, 0), view)
    assert (row["state"], row["certain"], row["needs"]) == ("prompt", False, ["title"])
    for title, state in (("⠋ work", "busy"), ("work", "prompt")):
        assert said("codex", dataclasses.replace(view, title=title), (0, 145, 0)) == (state, None, True)
    old = detect.judge(CODEX, (0, 104, 0), dataclasses.replace(view, title="work"))  # it has no title: somebody else's
    assert (old["state"], old["certain"], old["needs"]) == ("prompt", False, ["bytes", "history"])


@pytest.mark.parametrize(
    "end",
    [
        "  Worked for 4s • 22:29",
        "■ Conversation interrupted - tell the model what to do differently. Hit\n`/feedback` to report it.",
        "■ exceeded retry limit, last status: 429 Too Many Requests",
    ],
)
def test_the_end_of_a_turn_makes_rest_certain(end: str) -> None:
    assert said("codex", lines(ASKED + "• Done.\n\n" + end + COMPOSER)) == ("prompt", None, True)
    slash = "■ '/model' is disabled while a task is in progress."
    assert said("codex", lines(ASKED + "• Half\n\n" + slash + COMPOSER)) == ("prompt", None, False)


OLD_COMPOSER = "\n› Implement {feature}\n\n  100% context left · ? for shortcuts"


def test_codex_starts() -> None:
    """0.47 and 0.58 paint a bare composer first, as long as MCP servers start (0.1 to 4 s measured)."""
    for version in ((0, 47, 0), (0, 58, 0)):
        assert said("codex", lines(OLD_COMPOSER), version)[0] == "starting"
        draft = OLD_COMPOSER.replace("Implement {feature}", "half a draft")
        assert said("codex", lines(draft), version)[0] == "starting"
    header = HEADER.format(minor=58) + "\n\n  /init - create an AGENTS.md file\n"
    assert said("codex", lines(header + OLD_COMPOSER), (0, 58, 0)) == ("prompt", None, True)
    booting = "• Booting MCP server: docs (2s • esc to interrupt)"
    many = "• Starting MCP servers (1/12): docs, issues, and a name th…"
    for status in (booting, many):
        assert said("codex", lines(HEADER.format(minor=145) + "\n\n" + status + COMPOSER)) == ("starting", None, True)
    first = HEADER.format(minor=169) + "\n     ~/project\n\n› Ask Codex to do anything\n\n  ? for shortcuts"
    assert said("codex", lines(first))[0] == "starting"
    loading = "│ " + HEADER.format(minor=145) + " │\n│ model:     loading   /model to change │\n"
    assert said("codex", lines(loading + COMPOSER), (0, 145, 0)) == ("starting", None, True)


def live(version: tuple[int, ...], *texts: str) -> list[Observation]:
    """What a session's reader says of one screen after the other; the cursor is in the composer."""
    reader, seen = CODEX.reader(version), []
    for text in texts:
        view = lines(text)
        row = max(n for n, line in enumerate(view.lines) if line.startswith("› "))
        shown = ScreenView(view.lines, (row, 2), columns=view.columns)
        seen += [f for f in reader.screen(shown) if isinstance(f, Observation) and f.source == "screen"]
    return seen


def test_the_start_is_told_from_the_screen_alone_in_a_session() -> None:
    header = HEADER.format(minor=58) + "\n"
    seen = live((0, 58, 0), OLD_COMPOSER, header + OLD_COMPOSER, OLD_COMPOSER)
    assert [f.state for f in seen] == [State.STARTING, State.PROMPT, State.PROMPT]  # the last one was cleared
    booting = HEADER.format(minor=104) + "\n\n• Booting MCP server: docs (2s • esc to interrupt)" + COMPOSER
    ready = HEADER.format(minor=104) + "\n\n" + COMPOSER
    assert [f.state for f in live((0, 104, 0), booting, ready, booting)] == [State.STARTING, State.PROMPT, State.BUSY]


def test_a_session_says_that_its_screen_alone_is_not_certain() -> None:
    [seen] = live((0, 145, 0), ASKED + "• Half an answer" + COMPOSER)
    assert seen.needs == ("title",)
    activity = Activity(CODEX.sources, (0, 145, 0), 0.0)
    activity.observe(seen, 0.0)
    verdict = activity.decide(10.0)
    assert verdict.state is State.PROMPT and "not certain" in verdict.reason and "title" in verdict.reason
    activity.observe(Observation("rollout", State.PROMPT, "task_complete"), 10.0)
    verdict = activity.decide(20.0)
    assert verdict.source == "rollout" and "not certain" not in verdict.reason and verdict.needs == ()


def test_ctrl_c_interrupts_where_the_key_is_another() -> None:
    """Measured with `tui.keymap.chat.interrupt_turn`, 0.145 and 0.169: Esc does nothing then, Ctrl-C interrupts."""
    for status, last in ((WORKING, b"\x1b"), (WORKING.replace("esc", "f12"), b"\x03"), ("• Working (2s)", b"\x03")):
        view = lines(ASKED + status + COMPOSER)
        assert CODEX.interrupt(ScreenView(view.lines, (4, 2), title="⠋ w"), (0, 169, 0)).endswith(last)


# -- files ---------------------------------------------------------------------------------------


def run(*args: str, text: str = "") -> list[dict[str, Any]]:
    done = CliRunner().invoke(detect.command, list(args), input=text, standalone_mode=False)
    assert done.exception is None, done.exception
    return [json.loads(line) for line in done.stdout.splitlines()]


def cast(path: Path, *outputs: str, head: dict[str, Any] | None = None) -> str:
    events = [[round(0.5 * (n + 1), 1), "o", text] for n, text in enumerate(outputs)]
    rows = [head or {"version": 2, "width": 80, "height": 24}, *events]
    path.write_text("\n".join(json.dumps(row) for row in rows))  # no newline at the end: the last event counts
    return str(path)


def painted(text: str) -> str:
    return "\x1b[H\x1b[2J" + text.strip("\n").replace("\n", "\r\n")


STREAMS = painted(ASKED + "• A first line" + COMPOSER) + "\x1b[3A\x1b[3G"


def test_a_recording_decides_by_its_bytes(tmp_path: Path) -> None:
    busy = cast(tmp_path / "busy.cast", "\x1b]0;work\x07" + painted(COMPOSER), "\x1b]0;⠋ work\x07" + STREAMS)
    rest = cast(tmp_path / "rest.cast", "\x1b]0;⠋ work\x07" + STREAMS, "\x1b]0;work\x07")
    mute = cast(tmp_path / "mute.cast", STREAMS)
    rows = run("--cli", "codex", "--cli-version", "0.145.0", busy, rest, mute)
    assert [(r["state"], r["certain"]) for r in rows] == [("busy", True), ("prompt", True), ("prompt", False)]
    [row] = run("--cli", "codex", "--cli-version", "0.145.0", "--title", "⠋ work", mute)
    assert (row["state"], row["certain"]) == ("busy", True)


def test_a_recording_of_asciinema_3_is_read(tmp_path: Path) -> None:
    head = {"version": 3, "term": {"cols": 90, "rows": 30}}
    path = cast(tmp_path / "a.cast", "\x1b[?25l" + painted(CODEX_BLOCKED["a list"][0]), head=head)
    [row] = run("--cli", "codex", path)
    assert (row["state"], row["dialog"], row["certain"]) == ("blocked", "other", True)
    [moment] = casts.moments(path)
    assert (moment.view.columns, len(moment.view.lines)) == (90, 30)


def test_a_recording_past_the_end_of_its_program_is_no_prompt(tmp_path: Path) -> None:
    ended = "\x1b[24;1HToken usage: total=133\r\nTo continue this session, run codex resume X\r\n$ "
    path = cast(tmp_path / "a.cast", STREAMS, "", "", "", ended)
    [row] = run("--cli", "codex", "--cli-version", "0.104.0", path)
    assert (row["state"], row["certain"]) == ("unknown", False)


def test_what_pane_prints_is_read(tmp_path: Path) -> None:
    view = lines(ASKED + "• A first line" + COMPOSER)
    pane = {"lines": list(view.lines), "cursor": [4, 2], "cursor_hidden": False, "columns": 80, "title": "⠋ work"}
    [row] = run("--cli", "codex", "-", text=json.dumps(pane) + "\n")
    assert (row["state"], row["certain"], row["source"]) == ("busy", True, "title")


def test_the_screen_names_its_version(tmp_path: Path) -> None:
    """0.104 has no title, so that nothing but its records would tell."""
    text = "│ " + HEADER.format(minor=104) + " │\n\n" + ASKED + "• A first line" + COMPOSER
    assert run("--cli", "codex", "-", text=text)[0]["needs"] == ["bytes", "history"]
    assert run("--cli", "codex", "--cli-version", "0.128.0", "-", text=text)[0]["needs"] == ["title"]
    claude = "Claude Code v2.0.77\n\n" + STREAM + BOX.format(draft=" half a draft", footer="")
    assert run("--cli", "claude", "-", text=claude)[0]["certain"]
    assert not run("--cli", "claude", "--cli-version", "2.1.197", "-", text=claude)[0]["certain"]


def test_a_capture_with_colours_is_read() -> None:
    text = "".join(f"\x1b[38;5;246m{line}\x1b[0m\r\n" for line in CODEX_BUSY["the status line"].split("\n"))
    assert run("--cli", "codex", "-", text=text)[0]["state"] == "busy"


def test_the_words(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(ASKED + "• A first line" + COMPOSER)
    done = CliRunner().invoke(detect.command, ["--cli", "codex", "--text", str(path)], standalone_mode=False)
    assert done.stdout.startswith(f"{path}: prompt, not certain: ") and "missing: title" in done.stdout
    path.write_text(CODEX_BLOCKED["a list"][0])
    done = CliRunner().invoke(detect.command, ["--cli", "codex", "--text", str(path)], standalone_mode=False)
    assert done.stdout.startswith(f"{path}: blocked (other), certain: ")


def test_an_empty_file_says_nothing() -> None:
    for cli in ("claude", "codex"):
        [row] = run("--cli", cli, "-", text="\n\n")
        assert (row["state"], row["certain"]) == ("starting", False) and "history" in row["needs"]


# -- the corpus ----------------------------------------------------------------------------------

SETTLED_S = (
    2.0  # a stop hook (2.0.77) and an approval that is held back (0.169, 1 s) are told by the screen so much later
)
ODD = {"claude/2.0.77/run-queued-message"}  # one frame between two turns


def text_of(view: ScreenView) -> ScreenView:
    rows = list(view.lines)
    while rows and not rows[-1]:
        rows.pop()
    return ScreenView(tuple(rows), columns=max(map(len, rows), default=80), cursor_known=False)


@pytest.mark.parametrize("cli", ["claude", "codex"])
def test_what_is_certain_of_a_recorded_screen_is_true(cli: str) -> None:
    wrong, certain = [], 0
    for path in sorted(CORPUS.glob(f"{cli}/*/*/case.json")):
        about = json.loads(path.read_text())
        text = read_text(path.with_name("screen.txt"))
        row = detect.judge(adapter_for(cli), tuple(map(int, path.parts[-3].split("."))), lines(text))
        truth = (about["state"], about["dialog"] or None)
        certain += row["certain"]
        if row["certain"] and (row["state"], row["dialog"]) != truth:
            wrong.append(f"{'/'.join(path.parts[-4:-1])}: {row}, truly {truth}")
    assert wrong == []
    assert certain > 100


def views(case: Case) -> list[tuple[float, ScreenView]]:
    """What the screen showed, whenever it had settled."""
    terminal = Terminal(case.about["columns"], case.about["rows"], NoScript(), 0.0)  # type: ignore[arg-type]
    out: list[tuple[float, ScreenView]] = []
    outputs = [x for x in case.items if x["kind"] == "output"]
    for item, then in zip(outputs, [*(x["t"] for x in outputs[1:]), 1e9], strict=True):
        terminal.output(output_of(item), item["t"])
        moments = [item["t"], *(item["t"] + k * FRAME_S for k in range(1, 13) if item["t"] + k * FRAME_S < then)]
        out += [(t, terminal.view) for t in moments if terminal.settle(t)]
    return out


RUNS = [pytest.param(p, id="/".join(p.parts[-3:])) for p in case_paths()]


@pytest.mark.parametrize("path", RUNS)
def test_what_is_certain_of_a_run_is_true_at_every_moment(path: Path) -> None:
    """From the text of its screens alone, without the cursor, the title and what was before."""
    case = load(path)
    adapter, wrong = adapter_for(case.about["cli"]), []
    ends = [*(x.t for x in case.labels[1:]), 1e9]
    shown = views(case)
    for (t, view), (until, _) in itertools.pairwise([*shown, (shown[-1][0] + 1, shown[-1][1])] if shown else []):
        label, end = next(x for x in reversed([*zip(case.labels, ends, strict=True)]) if x[0].t <= t)
        settled = SETTLED_S if label.state != "busy" else label.uncertain
        if until - label.t < settled or end - t < 0.25 or label.state == "exited" or case.name in ODD:
            continue
        row = detect.judge(adapter, case.version, text_of(view))
        if row["certain"] and (row["state"], row["dialog"] or "") != (label.state, label.dialog):
            wrong.append(
                f"{t:.2f}: {row['state']} {row['dialog']} ({row['reason']}), truly {label.state} ({label.why})"
            )
    assert wrong == []

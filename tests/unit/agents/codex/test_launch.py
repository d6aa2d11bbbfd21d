"""codex/launch.py: the command line, the environment and the chained `notify`."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.codex.adapter import ADAPTER
from harnex.agents.codex.launch import EVIDENCE, flags, subcommand, toml
from harnex.agents.contract import LaunchRequest
from harnex.model.facts import Follow

# ---- launch ----


def request(**over: Any) -> LaunchRequest:
    base: dict[str, Any] = {
        "command": "/bin/codex",
        "args": (),
        "version": (0, 169, 0),
        "cwd": "/work/a \"q' é",
        "env": {"HOME": "/home/me", "TERM": "xterm-256color"},
        "permissions": "ask",
        "trust": False,
        "evidence_dir": "/run/ev",
        "new_session_id": "u",
        "as_root": False,
        "read_text": lambda path: None,
    }
    return LaunchRequest(**{**base, **over})


def configs(argv: tuple[str, ...]) -> dict[str, Any]:
    """The -c options of a command line as one table, as Codex reads them."""
    table: dict[str, Any] = {}
    for name, value, _, _ in flags(argv[1:]):
        if name == "-c":
            table.update(tomllib.loads(value))
    return table


def test_no_daemon_only_where_it_is_known() -> None:
    assert "--no-daemon" in ADAPTER.launch(request(version=(0, 156))).argv
    for version in ((0, 155), (0, 80), None):
        argv = ADAPTER.launch(request(version=version)).argv
        assert "--no-daemon" not in argv
        assert "features.daemon_auto_start=false" in argv


def test_trust_is_only_given_when_it_was_asked_for() -> None:
    assert "projects" not in configs(ADAPTER.launch(request()).argv)
    for over in ({"trust": True}, {"permissions": "bypass"}):
        table = configs(ADAPTER.launch(request(**over)).argv)
        assert table["projects"] == {"/work/a \"q' é": {"trust_level": "trusted"}}
    table = configs(ADAPTER.launch(request(trust=True, args=("-C", "/other"))).argv)
    assert list(table["projects"]) == ["/other"]


def test_permissions() -> None:
    assert not {"-a", "-s"} & set(ADAPTER.launch(request()).argv)
    auto = ADAPTER.launch(request(permissions="auto"))
    assert auto.permissions == "-a never -s workspace-write"
    assert "dangerously" not in " ".join(auto.argv)
    bypass = ADAPTER.launch(request(permissions="bypass"))
    assert "--dangerously-bypass-approvals-and-sandbox" in bypass.argv
    own = ADAPTER.launch(request(permissions="bypass", args=("-s", "read-only")))
    assert "dangerously" not in " ".join(own.argv)
    assert own.permissions == "-s read-only"
    assert any("your own" in note for note in own.notes)


def test_hooks_of_the_repository_are_never_trusted() -> None:
    for permissions in ("ask", "auto", "bypass"):
        argv = ADAPTER.launch(request(permissions=permissions, trust=True)).argv
        assert "--dangerously-bypass-hook-trust" not in argv


def test_subcommands_keep_their_place() -> None:
    argv = ADAPTER.launch(request(args=("resume", "ID", "-m", "gpt-5"), permissions="auto")).argv
    assert argv[-4:] == ("resume", "ID", "-m", "gpt-5")
    assert argv.index("--no-daemon") < argv.index("resume")
    assert subcommand(("-m", "resume", "fix the bug")) == ("", 3)
    assert subcommand(("-m", "x", "resume")) == ("resume", 2)
    assert ADAPTER.launch(request(args=("login", "status"))).argv == ("/bin/codex", "login", "status")


def test_exec_takes_the_permissions_it_understands() -> None:
    auto = ADAPTER.launch(request(args=("exec", "--json"), permissions="auto")).argv
    assert "-a" not in auto
    assert "--no-daemon" not in auto
    assert configs(auto)["approval_policy"] == "never"
    bypass = ADAPTER.launch(request(args=("exec", "--json"), permissions="bypass")).argv
    assert bypass.index("exec") < bypass.index("--dangerously-bypass-approvals-and-sandbox")


def test_the_variables_of_an_outer_codex_are_taken_away() -> None:
    env = {"HOME": "/h", "TERM": "dumb", "CODEX_THREAD_ID": "t", "CODEX_CI": "1", "NO_COLOR": "1", "CODEX_HOME": "/c"}
    change = ADAPTER.launch(request(env=env)).env
    assert {change[name] for name in ("CODEX_THREAD_ID", "CODEX_CI", "NO_COLOR")} == {None}
    assert "CODEX_HOME" not in change
    assert change["TERM"] == "xterm-256color"
    assert "NO_COLOR" not in ADAPTER.launch(request(env={"HOME": "/h", "TERM": "xterm", "NO_COLOR": "1"})).env


@pytest.mark.parametrize("where", ["config", "args"])
def test_notify_runs_the_persons_own_after_ours(where: str, tmp_path: Path) -> None:
    evidence = tmp_path / "an 'odd' dir"
    evidence.mkdir()
    own = ["/bin/sh", "-c", 'printf "%s|%s" "$0" "$1" > "$2"', "my own", "x y", str(tmp_path / "own")]
    line = "notify=" + toml(own)
    over: dict[str, Any] = {"evidence_dir": str(evidence)}
    if where == "config":
        over["read_text"] = lambda path: line if path == "/home/me/.codex/config.toml" else None
    else:
        over["args"] = ("-c", line, "-m", "gpt-5")
    launch = ADAPTER.launch(request(**over))
    assert launch.argv.count(line) == 0
    assert any("your notify" in note for note in launch.notes)
    program = configs(launch.argv)["notify"]
    said = json.dumps({"type": "agent-turn-complete", "last-assistant-message": 'a "b" $c \\n é'}, ensure_ascii=False)
    for _ in range(2):
        done = subprocess.run([*program, said], capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")
    assert (evidence / "notify.jsonl").read_text() == f"{said}\n{said}\n"
    assert (tmp_path / "own").read_text() == "my own|x y"
    assert list(evidence.iterdir()) == [evidence / "notify.jsonl"]
    found = list(ADAPTER.reader(None).spawned(1, {EVIDENCE: launch.env[EVIDENCE] or ""}, "/"))
    assert Follow("notify", f"{evidence}/notify.jsonl") in found


# ---- what other versions showed ----


def test_the_arguments_that_last() -> None:
    """What a person gave, for a conversation that goes on: without the prompt, which would be sent again."""

    def last(args: tuple[str, ...]) -> tuple[str, ...]:
        words = ADAPTER.resume_args("id", args)
        assert words[:2] == ("resume", "id")
        return words[2:]

    assert last(("-m", "gpt-5", "fix it")) == ("-m", "gpt-5")
    assert last(("resume", "--last", "-c", "a=1", "more")) == ("-c", "a=1")
    assert last(("--full-auto", "--", "-x")) == ("--full-auto",)
    assert last(("-cmodel=x", "--add-dir=/a b", "resume", "id-1")) == ("-cmodel=x", "--add-dir=/a b")

"""claude/adapter.py: how Claude Code is started, typed to and ended."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.claude.adapter import ADAPTER, events_for, hook_command
from harnex.agents.claude.views import CLEAR_LINES
from harnex.agents.common.message_text import PASTE_END, PASTE_START
from harnex.agents.contract import LaunchRequest
from harnex.model.facts import FindFile, State
from tests.unit.agents.claude._bench import V1, V2, V3, V4, request

OLD, NEW = (V1, V2), (V3, V4)


def settings_of(request_: LaunchRequest) -> dict[str, Any]:
    launch = ADAPTER.launch(request_)
    path = launch.argv[launch.argv.index("--settings") + 1]
    loaded = json.loads(launch.files[path])
    assert isinstance(loaded, dict)
    return loaded


# -- start ---------------------------------------------------------------------------------------


def test_launch_fixes_the_session_and_leaves_nested_variables_behind() -> None:
    env = {"TMUX": "/tmp/t", "CLAUDECODE": "1", "CLAUDE_BG_PTY_AUTH": "x", "PATH": "/bin"}
    launch = ADAPTER.launch(request(env=env))
    assert launch.session_id == "11111111-2222-3333-4444-555555555555"
    assert launch.argv[launch.argv.index("--session-id") + 1] == launch.session_id
    assert {k for k, v in launch.env.items() if v is None} == {"TMUX", "CLAUDECODE", "CLAUDE_BG_PTY_AUTH"}
    assert launch.env["DISABLE_AUTOUPDATER"] == "1"


@pytest.mark.parametrize("args", [("--resume", "x"), ("-c",), ("--continue",), ("-r",), ("--session-id=abc",)])
def test_launch_leaves_the_persons_session_alone(args: tuple[str, ...]) -> None:
    launch = ADAPTER.launch(request(args=args))
    assert "11111111-2222-3333-4444-555555555555" not in launch.argv
    assert launch.session_id == ("abc" if "abc" in args[0] else None)


def test_launch_merges_the_persons_settings() -> None:
    own = {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "mine"}]}]}, "model": "x", "tui": "fullscreen"}
    for args, read in (
        (("--settings", json.dumps(own)), lambda path: None),
        (("--settings=s.json", "--debug"), {"/repo/s.json": json.dumps(own)}.get),
    ):
        settings = settings_of(request(args=args, read_text=read))
        assert (settings["model"], settings["tui"]) == ("x", "fullscreen")
        commands = [h["command"] for entry in settings["hooks"]["Stop"] for h in entry["hooks"]]
        assert commands[0] == "mine"
        assert "/runs/x/evidence/hooks.jsonl" in commands[1]
        assert ADAPTER.launch(request(args=args, read_text=read)).argv.count("--settings") == 1


def test_settings_that_cannot_be_read_are_passed_on() -> None:
    launch = ADAPTER.launch(request(args=("--settings", "gone.json")))
    assert launch.argv[-2:] == ("--settings", "gone.json")
    assert not launch.files
    assert launch.notes


def test_hook_events_by_version() -> None:
    """A name that a version does not know makes it drop the file (1.x) or ask (2.x)."""
    assert "PermissionRequest" not in events_for(V1)
    assert "StopFailure" not in events_for(V2)
    assert "PermissionRequest" in events_for(V2)
    assert "StopFailure" in events_for(V4)
    assert events_for(None) == events_for(V1)
    assert "tui" not in settings_of(request(version=V1))
    assert settings_of(request(version=V4))["tui"] == "default"


def test_permissions() -> None:
    assert "--permission-mode default" in " ".join(ADAPTER.launch(request()).argv)
    assert ADAPTER.launch(request(permissions="auto", version=V1)).permissions == "--permission-mode acceptEdits"
    assert ADAPTER.launch(request(permissions="auto", version=V4)).permissions == "--permission-mode dontAsk"
    own = ADAPTER.launch(request(args=("--permission-mode", "plan"), permissions="auto"))
    assert own.argv.count("--permission-mode") == 1
    assert own.permissions == "--permission-mode plan"
    for permissions in ("ask", "auto"):
        launch = ADAPTER.launch(request(permissions=permissions, as_root=True))
        assert "--dangerously-skip-permissions" not in launch.argv
        assert "IS_SANDBOX" not in launch.env
    bypass = ADAPTER.launch(request(permissions="bypass", as_root=True))
    assert "--dangerously-skip-permissions" in bypass.argv
    assert bypass.env["IS_SANDBOX"] == "1"
    assert bypass.notes
    assert settings_of(request(permissions="bypass"))["skipDangerousModePermissionPrompt"] is True
    assert "IS_SANDBOX" not in ADAPTER.launch(request(permissions="bypass")).env


def test_hook_command_appends_whole_lines_at_once(tmp_path: Path) -> None:
    place = tmp_path / 'it\'s a "dir" ü $HOME'
    place.mkdir()
    path = place / "hooks.jsonl"
    command = hook_command(str(path))

    def run(n: int) -> int:
        text = json.dumps({"n": n, "x": "y" * (n * 9000)}, indent=1 if n % 2 else None) + "\n" * (n % 3)
        done = subprocess.run(["sh", "-c", command], input=text.encode(), capture_output=True, check=False)
        assert not done.stdout
        assert not done.stderr
        return done.returncode

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(run, range(24))) == {0}
    got = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(row["n"] for row in got) == list(range(24))


def test_hook_command_never_stops_the_agent(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", hook_command(str(tmp_path / "gone" / "hooks.jsonl"))],
        input=b"{}",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# -- typing and stopping -------------------------------------------------------------------------


def pasted(text: str, version: tuple[int, ...] | None) -> str:
    paste = ADAPTER.typing(text, version).paste
    assert paste.startswith(PASTE_START)
    assert paste.endswith(PASTE_END)
    return paste[len(PASTE_START) : -len(PASTE_END)].decode()


@pytest.mark.parametrize("text", ["/help me", "!ls", "# remember", "@file", "&bg", "?", "/clear\nmore"])
def test_text_that_begins_like_a_command_is_guarded(text: str) -> None:
    for version in (V1, V2, V3):
        assert pasted(text, version).startswith(" " + text)
    # 2.1.329 trims white space before it looks for a command (measured); unknown versions are taken for newer.
    for newest in (V4, None):
        got = pasted(text, newest)
        assert got.startswith(("\u2800" if text[0] == "/" else " ") + text)


def test_text_that_ends_like_a_key_is_guarded() -> None:
    for version in (V1, V4):
        assert pasted("a \\", version) == "a \\ "
        assert pasted("see @src/fi", version) == "see @src/fi "
        assert pasted("exit", version) == "\u2800exit"
        assert pasted("plain\n text", version) == "plain\n text"


def test_a_large_text_is_one_paste() -> None:
    text = "line\n" * 40_000
    paste = ADAPTER.typing(text, V4).paste
    assert paste.count(PASTE_START) == paste.count(PASTE_END) == 1
    assert text.encode() in paste


def test_clear_takes_a_draft_of_several_lines() -> None:
    """Ctrl-U takes one line; Ctrl-L all of it in 1.x and 2.0, where the pair does nothing (measured)."""
    for version in OLD:
        assert ADAPTER.typing("x", version).clear == b"\x0c"
    for version in NEW:
        assert ADAPTER.typing("x", version).clear == b"\x15\x7f" * CLEAR_LINES


def test_stop_and_resume() -> None:
    steps = ADAPTER.stop_steps(State.BUSY, V4)
    assert steps[0].keys == b"\x1b"
    assert steps[0].until == "prompt"
    assert steps[-1].until == "exited"
    assert ADAPTER.resume_args("abc") == ("--resume", "abc")


def test_rehearsal_needs_nothing_of_the_person() -> None:
    rehearsal = ADAPTER.rehearsal("http://127.0.0.1:9", "/home/x", "/repo", V1)
    assert rehearsal is not None
    config = json.loads(rehearsal.files["/home/x/.claude.json"])
    key = rehearsal.env["ANTHROPIC_API_KEY"]
    assert key is not None
    assert config["customApiKeyResponses"]["approved"] == [key[-20:]]
    assert config["projects"]["/repo"]["hasTrustDialogAccepted"] is True
    assert config["projects"]["/repo"]["allowedTools"] == []  # 1.0.128 dies without
    assert rehearsal.env["HOME"] == "/home/x"
    assert rehearsal.env["CLAUDE_CODE_OAUTH_TOKEN"] is None


# -- what other versions showed --------------------------------------------------------------------


def test_before_settings_there_are_no_hooks() -> None:
    """`--settings` is an unknown option of 1.0.60, and ends it."""
    launch = ADAPTER.launch(request(version=(1, 0, 60)))
    assert "--settings" not in launch.argv
    assert launch.session_id in launch.argv
    env = {k: v for k, v in launch.env.items() if v is not None}
    facts = list(ADAPTER.reader((1, 0, 60)).spawned(7, {**env, "HOME": "/h"}, "/srv/a.b"))
    (wanted,) = [f for f in facts if isinstance(f, FindFile)]
    assert wanted.paths[0] == f"/h/.claude/projects/*/{launch.session_id}.jsonl" and not wanted.since
    assert "--settings" in ADAPTER.launch(request(version=(1, 0, 61))).argv


def test_nobody_is_there_to_be_given_suggestions() -> None:
    assert ADAPTER.launch(request()).env["CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION"] == "false"
    own = request(env={"CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION": "true"})
    assert "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION" not in ADAPTER.launch(own).env


def test_the_arguments_that_last() -> None:
    """What a person gave, for a conversation that goes on: without the prompt, which would be sent again."""

    def last(args: tuple[str, ...]) -> tuple[str, ...]:
        words = ADAPTER.resume_args("id", args)
        assert words[:2] == ("--resume", "id")
        return words[2:]

    assert last(("--model", "opus", "fix it")) == ("--model", "opus")
    assert last(("fix it", "--verbose")) == ("--verbose",)
    assert last(("--allowedTools", "Bash(ls)", "Edit", "--verbose", "go")) == (
        "--allowedTools",
        "Bash(ls)",
        "Edit",
        "--verbose",
    )
    assert last(("--resume", "abc", "--model=opus", "--", "go")) == ("--model=opus",)
    assert last(("-c", "go")) == ()
    assert last(("--session-id=1", "--append-system-prompt", "be brief", "x")) == ("--append-system-prompt", "be brief")

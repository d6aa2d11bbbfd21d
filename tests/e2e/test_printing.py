"""Whatever an agent, a repository or another program says, a person's terminal obeys none of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import Harnex
from tests.e2e.test_exec import Fake
from tests.e2e.test_terminal import Person, people, person

__all__ = ["people", "person"]  # fixtures

EVIL = "a\x1b]52;c;QQ==\x07b\x1b]0;title\x07c\u009b31md\x1b[2Je\u202ef\x7fg"
SHOWN = "a\\u001b]52;c;QQ==\\u0007b\\u001b]0;title\\u0007c\\u009b31md\\u001b[2Je\\u202ef\\u007fg"
BODY = f"begin()\nanswer({EVIL!r})"
FAILS = f"begin()\nrow(type='result', subtype='error_during_execution', is_error=True, errors=[{EVIL!r}])\nsys.exit(1)"


def obeyed(data: bytes) -> list[str]:
    """Return the control characters, except ends of lines, tabs and harnex's own wipe of a line."""
    text = data.replace(b"\r\x1b[K", b"").replace(b"\r\n", b"\n").decode()
    return sorted({f"{c!a}" for c in text if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f" or c == "\u202e"})


def test_the_answer_of_exec_and_its_words(harnex: Harnex, person: Callable[..., Person]) -> None:
    fake = Fake(harnex, BODY)
    me = person(*fake.words, "go", size=(200, 24))
    assert me.end() == 0 and obeyed(me.bytes) == []
    assert SHOWN in me.bytes.decode()
    fake = Fake(harnex, FAILS)
    me = person(*fake.words, "go", size=(200, 24))
    assert me.end() == 1 and obeyed(me.bytes) == []
    assert "\\u001b]52;c;QQ==" in me.bytes.decode()


def test_raw_on_a_terminal_and_bytes_in_a_pipe(harnex: Harnex, person: Callable[..., Person]) -> None:
    fake = Fake(harnex, BODY)
    me = person(*fake.words, "--raw", "--quiet", "go")
    assert me.end() == 0 and EVIL.encode() in me.bytes
    assert fake.run().stdout == EVIL + "\n"
    me = person(*fake.words, "--json", "go", size=(9999, 24))
    assert me.end() == 0 and obeyed(me.bytes) == []
    rows = [json.loads(line) for line in me.bytes.decode().splitlines() if line.startswith("{")]
    assert [row["text"] for row in rows if row["type"] == "answer"] == [EVIL]


def session(harnex: Harnex) -> str:
    """Start a live session with such a text in everything that others choose. Returns its id."""
    place = harnex.base / f"w {EVIL.replace('/', '')}"
    (place / ".git").mkdir(parents=True)
    program = harnex.base / f"agent {EVIL}"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{EVIL}'\necho said; exec cat\n")
    program.chmod(0o755)
    harnex.work = place
    harnex.ok(
        "run", str(program), "--detach", "--id", "evil", "--description", EVIL, "--meta", json.dumps({EVIL: EVIL})
    )
    harnex.until(lambda: "said" in harnex.run("pane", "--id", "evil").stdout, what="it has said it")
    return "evil"


COMMANDS = (
    "status",
    "status --json",
    "logs --id evil",
    "logs --cast --id evil",
    "pane --id evil",
    "pane --json --id evil",
    "pane --ansi --id evil",
    "events --snapshot --id evil",
    "usage --id evil",
    "doctor",
    "stop --id evil",
    "history",
    "history --json",
    "events --id evil",
    "logs --id evil",
    "usage",
    "recover --all",
)


def test_every_command(harnex: Harnex, person: Callable[..., Person]) -> None:
    session(harnex)
    for words in COMMANDS:
        me = person(*words.split(), size=(300, 60), NO_COLOR="1")
        me.end(30)
        found = obeyed(me.bytes)
        if "--ansi" in words:  # a drawing
            found = [c for c in found if c not in ("'\\x1b'", "'\\r'")]
            assert b"\x1b]" not in me.bytes
        assert found == [], (words, me.bytes)


def test_errors_quote_without_obeying(harnex: Harnex, person: Callable[..., Person], tmp_path: Path) -> None:
    for words in (
        ("run", EVIL),
        ("run", "cat", "--cwd", f"/no/{EVIL}"),
        ("status", "--id", EVIL),
        ("stop", "--id", EVIL),
        ("nonsense" + EVIL,),
        ("status", f"--{EVIL}"),
        ("detect", "--cli", "claude", str(tmp_path / EVIL)),
        ("report", "-o", str(tmp_path / "no" / EVIL)),
        ("exec", "claude", "--prompt-file", f"/no/{EVIL}"),
    ):
        me = person(*words, size=(300, 24))
        me.end()
        assert obeyed(me.bytes) == [], (words, me.bytes)

"""How long a message may be: a longer one is refused before anything is queued, and an
allowed one arrives whole."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from harnex import jsonl
from harnex.client import connect
from harnex.errors import UsageError
from harnex.model import protocol
from tests.e2e.conftest import Harnex
from tests.e2e.test_exec import Fake

LINE = 'Größe: a line of "words" \U0001f600 and others\n'
LIMIT = "at most 8,388,608"


def text_of(size: int) -> str:
    """Return a text of so many bytes of UTF-8. As JSON it is half as long again."""
    line = len(LINE.encode())
    return LINE * (size // line) + "x" * (size % line)


def file_of(harnex: Harnex, size: int) -> str:
    path = harnex.base / f"message-{size}"
    path.write_text(text_of(size))
    assert path.stat().st_size == size
    return str(path)


def program(harnex: Harnex, session_id: str, script: str, *words: str) -> dict[str, Any]:
    return dict(
        harnex.json("run", "sh", "--detach", "--id", session_id, *words, "--", "-c", f"stty raw -echo; {script}")
    )


def test_the_longest_arrives_whole(harnex: Harnex) -> None:
    out = harnex.base / "got"
    read = f"head -c {protocol.MESSAGE_MAX} | sha256sum > '{out}.half'; mv '{out}.half' '{out}'; exec cat >/dev/null"
    program(harnex, "x", f"echo ready; {read}")
    harnex.until(lambda: "ready" in harnex.run("pane", "--id", "x").stdout)
    assert harnex.json("send", "--id", "x", "--file", file_of(harnex, protocol.MESSAGE_MAX))["ok"]
    harnex.until(out.exists, 30.0, "it has read all of it")
    assert out.read_text().split()[0] == hashlib.sha256(text_of(protocol.MESSAGE_MAX).encode()).hexdigest()
    assert harnex.events("x", "diagnostic") == []


@pytest.mark.parametrize("how", ["--file", "standard input", "relay"])
def test_a_longer_one_is_refused(harnex: Harnex, how: str) -> None:
    program(harnex, "x", "exec cat >/dev/null")
    size = protocol.MESSAGE_MAX + (how != "relay")  # the header counts, because it is sent
    path = file_of(harnex, size)
    if how == "standard input":
        done = harnex.run("send", "--id", "x", input=Path(path).read_text())
    else:
        done = harnex.run("send", "--id", "x", "--file", path, *(["--relay"] if how == "relay" else []))
    assert done.returncode == 2 and LIMIT in done.stderr and "session 'x'" in done.stderr
    reply = json.loads(done.stdout)
    assert reply["ok"] is False and LIMIT in reply["error"] and "file" in reply["hint"]
    assert harnex.events("x", "send") == harnex.events("x", "diagnostic") == []
    assert harnex.json("send", "--id", "x", "--message", "a short one")["ok"]


def test_a_first_message_is_refused_before_anything_starts(harnex: Harnex) -> None:
    done = harnex.run("run", "sh", "--detach", "--context-file", file_of(harnex, protocol.MESSAGE_MAX + 1))
    assert done.returncode == 2 and LIMIT in done.stderr and LIMIT in json.loads(done.stdout)["error"]
    assert harnex.json("status", "--json") == [] and harnex.json("history", "--json") == []


def test_a_prompt_of_exec_goes_another_way_and_arrives_whole(harnex: Harnex) -> None:
    fake = Fake(harnex, "import hashlib\nbegin()\nanswer(hashlib.sha256(prompt.encode()).hexdigest())")
    text = text_of(protocol.MESSAGE_MAX + 1)
    done = fake.run(prompt=text)
    assert done.stdout.strip() == hashlib.sha256(text.encode()).hexdigest(), done.stderr


def test_the_session_itself_refuses_too(harnex: Harnex) -> None:
    """The session refuses a text that is too long from every client on its socket."""
    program(harnex, "x", "exec cat >/dev/null")
    (record,) = harnex.json("status", "--json")
    text = text_of(protocol.MESSAGE_MAX + 1)
    for request in ({"op": "send", "text": text}, {"op": "answer", "verb": "approve", "text": text}):
        reply = connect.request(record, request)
        assert (reply["ok"], reply["exit_code"]) == (False, 2) and LIMIT in reply["error"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(record["socket"])
        sock.settimeout(30)
        sock.sendall(b"x" * (protocol.LINE_MAX + 1))
        reply = jsonl.loads_dict(sock.recv(1 << 16)) or {}
    assert (reply["ok"], reply["exit_code"]) == (False, 2) and "67,108,864" in reply["error"]
    assert harnex.json("send", "--id", "x", "--message", "a short one")["ok"]


def test_a_request_is_measured_as_it_is_sent() -> None:
    """Escapes count. No message of the allowed length comes near the limit of a request."""
    assert len(jsonl.dumps("\x01" * 1000)) == 6002
    assert 6 * protocol.MESSAGE_MAX + (1 << 20) < protocol.LINE_MAX
    record = {"id": "x", "socket": "/nobody/listens"}
    with pytest.raises(UsageError, match="at most 67,108,864"):
        connect.request(record, {"op": "answer", "text": "\x01" * (11 << 20)})


def test_one_that_the_terminal_does_not_take_has_failed(harnex: Harnex) -> None:
    """The agent does not read: a message that finds no room is not reported as typed."""
    program(harnex, "x", "echo ready; exec sleep 1000")
    harnex.until(lambda: "ready" in harnex.run("pane", "--id", "x").stdout)
    path = file_of(harnex, 7 << 20)
    done = [harnex.run("send", "--id", "x", "--file", path) for _ in range(3)]
    assert [d.returncode for d in done] == [0, 0, 1], done
    reply = json.loads(done[2].stdout)
    assert reply["status"] == "failed" and "stopped reading its terminal" in reply["error"]
    assert [e["status"] for e in harnex.events("x", "delivery")][-1] == "failed"
    enter = harnex.run("send", "--id", "x", "--submit-only")
    assert enter.returncode == 0  # there is room for a key

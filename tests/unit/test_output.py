"""harnex/output.py: what is printed is shown on a terminal, and passes unchanged elsewhere."""

from __future__ import annotations

import io
import os
import sys

import pytest

from harnex import output

EVIL = "a\x1b]0;x\x07b\u009b31m\u202e\n"
SHOWN = b"a\\u001b]0;x\\u0007b\\u009b31m\\u202e"


class Standard:
    """This process's standard output on a terminal, or in a pipe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, on_terminal: bool) -> None:
        self.reader, writer = os.openpty() if on_terminal else os.pipe()
        for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(os.fdopen(os.dup(writer), "wb"), encoding="utf-8"))
        os.close(writer)
        output.install()

    def seen(self) -> bytes:
        sys.stdout.flush()
        return os.read(self.reader, 4096).replace(b"\r\n", b"\n")


def test_a_terminal_is_shown_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Standard(monkeypatch, True)
    print(EVIL, end="")
    assert terminal.seen() == SHOWN + b"\n"
    sys.stdout.buffer.write(EVIL.encode())
    assert terminal.seen() == SHOWN + b"\n"
    for byte in "€\x9b".encode():  # cut anywhere
        sys.stdout.buffer.write(bytes([byte]))
    assert terminal.seen() == "€\\u009b".encode()
    sys.stdout.writelines([EVIL])
    assert terminal.seen() == SHOWN + b"\n"


def test_only_our_own_sequences_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Standard(monkeypatch, True)
    output.draw(sys.stdout, output.WIPE)
    assert terminal.seen() == b"\r\x1b[K"
    print("x\x1b[1m")
    assert terminal.seen() == b"x\\u001b[1m\n"


def test_raw_is_for_those_who_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Standard(monkeypatch, True)
    output.obey()
    print(EVIL, end="")
    assert terminal.seen() == EVIL.encode()


def test_a_pipe_gets_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    standard = Standard(monkeypatch, False)
    print(EVIL, end="")
    output.draw(sys.stdout, output.WIPE)
    assert standard.seen() == EVIL.encode() + output.WIPE.encode()

"""What harnex prints: control characters are shown on a terminal, and nowhere else."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex import output
from harnex.visible import one_line, visible

OBEYED = {chr(n) for n in (*range(0x20), *range(0x7F, 0xA0))}
TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("end\r\n", "end\n"),
        ("a\rb", "a\\u000db"),
        ("\x1b]52;c;QQ==\x07", "\\u001b]52;c;QQ==\\u0007"),
        ("\x9b2J\x7f", "\\u009b2J\\u007f"),
        ("invoice\u202efdp.exe", "invoice\\u202efdp.exe"),
        ("zero\u200bwidth\ufeff\u2028", "zero\\u200bwidth\\ufeff\\u2028"),
        ("tag\U000e0041", "tag\\udb40\\udc41"),
        ("pay\u200dpal", "pay\\u200dpal"),
        ("👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 می\u200cخواهم", "👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 می\u200cخواهم"),
        ("Grüße 你好 · ✳", "Grüße 你好 · ✳"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
    assert one_line(text) == shown.replace("\t", "\\u0009").replace(
        "\n", "\\u000a" if "\r" not in text else "\\u000d\\u000a"
    )


@given(st.text())
def test_nothing_is_obeyed(text: str) -> None:
    assert not set(visible(text)) & (OBEYED | TURNING) - {"\n", "\t"}
    assert not set(one_line(text)) & (OBEYED | TURNING)
    assert all(unicodedata.category(c) != "Cs" for c in visible(text))


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_says_the_same(value: object) -> None:
    assert json.loads(visible(json.dumps(value, ensure_ascii=False))) == value


# ---- the streams ----

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

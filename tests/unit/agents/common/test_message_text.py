"""A message is cleaned and then guarded: whatever stands in front of a command's character, it arrives as text."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harnex.agents.catalogue import adapter_for
from harnex.agents.claude.adapter import guarded, guarded_prompt
from harnex.agents.codex.adapter import plain
from harnex.agents.common.message_text import BLANK, PASTE_END, PASTE_START, bracketed, clean, lead

# Default_Ignorable_Code_Point, from Unicode's DerivedCoreProperties.
IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
# White_Space of Unicode (what Rust trims), and U+FEFF, which JavaScript trims as well.
SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
CLAUDE = ((1, 0, 128), (2, 0, 77), (2, 1, 197), (2, 1, 329), None)
CODEX = ((0, 58), (0, 104), (0, 145), (0, 169), None)


def dropped(char: str) -> bool:
    """Whether some box leaves this character out of what it is given, or trims it away."""
    code = ord(char)
    return (
        char in SPACE
        or unicodedata.category(char) in ("Cc", "Cf")
        or any(first <= code <= last for first, last in IGNORABLE)
    )


def boxed(paste: bytes) -> str:
    """What the strictest box makes of a paste: nothing in front of the first character that it keeps."""
    assert paste.startswith(PASTE_START)
    assert paste.endswith(PASTE_END)
    text = paste[len(PASTE_START) : -len(PASTE_END)].decode()
    while text and dropped(text[0]):
        text = text[1:]
    return text


def test_every_character_that_a_box_may_drop_is_looked_through() -> None:
    """All of Unicode, one character in front of a command."""
    missed = [hex(n) for n in range(sys.maxunicode + 1) if dropped(chr(n)) and lead(chr(n) + "!") != "!"]
    assert missed == []
    kept = [hex(n) for n in range(sys.maxunicode + 1) if lead(chr(n) + "!") not in ("!", lead(chr(n)))]
    assert kept == []
    assert lead(BLANK + "!") == BLANK  # nobody drops the guard itself
    assert lead("\u0301!") == lead("！") == lead("﹗") == "!"
    assert lead(" \u200b\x01") == ""


ANY = st.text(st.characters(), max_size=6)
FRONT = st.text(
    st.characters(categories=("Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Cn")) | st.sampled_from(SPACE), max_size=4
)
MARK = st.sampled_from(("", "!", "/", "#", "@", "&", "?", "$", "！", "exit", "quit"))


@given(ANY | FRONT, MARK, ANY)
@example("\x01", "!", "touch F")
@example("\x1b", "/", "clear")
@example("\x85", "!", "ls")
@example("\u200b", "/", "clear")
@example("\u034f\xad", "/", "clear")
@example("\u200b", "exit", "")
def test_whatever_stands_in_front_it_is_text(front: str, mark: str, rest: str) -> None:
    text = front + mark + rest
    for version in CLAUDE:
        paste = adapter_for("claude").typing(text, version).paste
        if text:
            strict = version is None or version > (2, 1, 197)
            assert not boxed(paste).startswith("/" if strict else ())
            assert paste[len(PASTE_START) :][:1] not in (b"/", b"!", b"#", b"@", b"&", b"?")
            assert "".join(c for c in boxed(paste) if not dropped(c)) not in ("exit", "quit")
    for version in CODEX:
        paste = adapter_for("codex").typing(text, version).paste
        assert paste[len(PASTE_START) :][:1] not in (b"/", b"!")
        if version is None or version < (0, 169):
            assert not boxed(paste).startswith("!")
    assert not boxed(bracketed(guarded_prompt(text))).startswith("/")


@given(ANY | FRONT, MARK, ANY)
def test_the_guard_looks_at_what_arrives(front: str, mark: str, rest: str) -> None:
    text = front + mark + rest
    assert clean(clean(text)) == clean(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in clean(text))
    for version in CLAUDE:
        assert guarded(text, version) == guarded(clean(text), version)
        assert clean(text) in guarded(text, version)
    for version in CODEX:
        assert plain(text, version) == plain(clean(text), version)
        assert clean(text).strip() in plain(text, version)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("tab\tstays, \x1b[201~ does not end a paste", "tab\tstays, [201~ does not end a paste"),
        ("\ud800x", "\ufffdx"),
        ("می\u200cخواهم 👨\u200d👩\u200d👧 ❤\ufe0f", "می\u200cخواهم 👨\u200d👩\u200d👧 ❤\ufe0f"),
    ],
)
def test_what_is_taken_out(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_what_a_box_would_take_at_the_end_is_guarded() -> None:
    """Invisible characters are removed there, too: the backslash and the `@path` are the last again."""
    for version in CLAUDE:
        assert guarded("go on \\\u200b", version).endswith(" ")
        assert guarded("see @src/fi\u200b", version).endswith(" ")
    for version in CODEX:
        assert plain("see @src/fi\u2060", version).endswith(" ")


@pytest.mark.parametrize("path", ["/tmp/a b.png", "'pics/x.JPEG'", "file:///x/y.webp", "./a\\ b.gif ", "\tx.png"])
def test_the_path_of_a_picture_is_no_picture(path: str) -> None:
    """Alone in a line (Claude Code) or in the whole message (Codex) it would be attached instead of being said."""
    assert guarded(path, (2, 1, 329)).startswith(BLANK)
    assert guarded(f"Look:\n{path}\nand tell", (2, 1, 329)).split("\n")[1] == BLANK + path
    assert plain(path, (0, 169)) == BLANK + path
    for text in (f"Look at {path.strip()} now", "png", ".png.txt", f"Look:\n{path}"):
        assert plain(text, (0, 169)) == text
    assert len(guarded("\n" * 200_000 + "." * 200_000, (2, 1, 329))) == 400_000  # in no time


def test_what_does_not_arrive_as_it_was_sent_is_said() -> None:
    def notes(cli: str, text: str, version: tuple[int, ...] | None) -> tuple[str, ...]:
        return adapter_for(cli).typing(text, version).notes

    for cli in ("claude", "codex"):
        assert notes(cli, "plain\nwords 👨\u200d👩 ❤\ufe0f", None) == ()
        assert notes(cli, "\x01a\x1b", None) == ("2 control characters were left out",)
        assert notes(cli, "a\r\nb\rc", None) == ()
    assert notes("claude", "a\tb", (2, 0, 77)) == ("Claude Code makes four spaces of each tab",)
    assert notes("codex", "a\tb", (0, 169)) == ()
    assert notes("claude", "a\u200bb", (2, 1, 329)) == ("Claude Code leaves out invisible characters",)
    assert notes("claude", "a\u200bb", (2, 1, 197)) == ()

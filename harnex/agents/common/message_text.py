"""What a message is before it is typed: cleaned first, then looked at as the agent's input box will see it.

The order matters. A guard in front of a command's character (`/`, `!`) works only if it judges the text that
arrives: a control character that the paste leaves out, or an invisible one that the box removes, must not hide
the character behind it.
"""

from __future__ import annotations

import re
import unicodedata

PASTE_START, PASTE_END = b"\x1b[200~", b"\x1b[201~"

# Characters of Unicode's Default_Ignorable_Code_Point that have another category than Cf: drawn as nothing.
# Claude Code 2.1.329 removes every one that was tried from what is pasted, before it looks for a command.
_IGNORED = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2065, 0x2065),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),
)


# Drawn as nothing, and neither white space nor a format character: no program was seen to trim or to remove it.
BLANK = "\u2800"

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without the control characters that would act as keys or end a paste. Newlines and tabs stay.

    Every form of a line's end becomes a newline, a lone surrogate becomes U+FFFD. `clean(clean(x)) == clean(x)`.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def is_invisible(char: str) -> bool:
    """Whether a program may drop this character, or trim it away as a blank."""
    if char.isspace() or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp"):
        return True
    code = ord(char)
    return any(first <= code <= last for first, last in _IGNORED)


def visible(text: str) -> str:
    """`text` without its invisible characters, blanks included."""
    return "".join(c for c in text if not is_invisible(c))


def ends_in_word(text: str, marks: str) -> bool:
    """Whether the last word, as a box without the invisible characters shows it, begins with one of `marks`.

    Such a word opens a menu of files or skills, which takes the Enter for itself.
    """
    thin = "".join(c for c in text if c.isspace() or not is_invisible(c))
    return re.search(rf"(?:^|\s)[{re.escape(marks)}]\S*\Z", thin) is not None


# A line that is nothing but the path of a picture, perhaps in quotes or as a URL.
_PICTURE = re.compile(
    r"^[ \t]*(?=\S).*\.(?:png|jpe?g|gif|webp|bmp|tiff?|svg|heic|avif)['\"]?[ \t]*$", re.IGNORECASE | re.MULTILINE
)


def kept_as_path(text: str) -> str:
    """`text` with a blank before each line that is the path of a picture: both CLIs would attach the file instead."""
    return _PICTURE.sub(lambda found: BLANK + found.group(0), text)


def losses(text: str) -> tuple[str, ...]:
    """What cleaning takes out of `text`, in words for its sender."""
    gone = len(_CONTROL.findall(text.replace("\r\n", "\n").replace("\r", "\n")))
    words = [f"{gone} control character{'s were' if gone > 1 else ' was'} left out"] if gone else []
    return (*words, *(["half of a surrogate pair became U+FFFD"] if _SURROGATE.search(text) else []))


def lead(text: str) -> str:
    """The first character that an input box may take for the text's first; "" if there is none.

    Combining marks are looked through, and a compatibility form (`！`) counts as the character that it stands for:
    a guard too many does no harm.
    """
    for char in text:
        if is_invisible(char) or unicodedata.category(char) in ("Mn", "Me"):
            continue
        return unicodedata.normalize("NFKC", char)[:1]
    return ""


def bracketed(text: str) -> bytes:
    """`text`, cleaned, as one bracketed paste."""
    return PASTE_START + clean(text).encode("utf-8") + PASTE_END

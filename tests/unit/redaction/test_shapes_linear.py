"""Looking for secrets takes time in proportion to the text: no pattern runs away on what a program prints."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harnex.redaction.redactor import OVERLAP, TURN, Redactor
from harnex.redaction.shapes import SHAPES

SIZE = 6 << 10
PLAIN = "The quick brown fox jumps over the lazy dog 0123456789\r\n"

LITERALS = sorted({literal for shape in SHAPES for literal in shape.literals})
HEADS = [
    "sk-ant-", "sk-", "AKIA", "xoxb-", "pypi-", "hvs.", "SG.", "eyJ", "eyJaaaaaaaa.", "bearer ", "basic\t", "Authorization: ",
    "x-", "-", "--", "--token ", "cookie: ", "a://", "a.", "a-", "a+", "?sig=", "token=", "token: ", "password=", "A_", "_KEY=",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "MIIabcdefghijklmnop\n", "\\n", "\\", "%41", "%", "&#65;", "&", "\\u0041", '"',
    " ", "\n", "=", "A", "a", "0", "aA0", "\u200b", "\x1b[", "\x1b[1m", "\x1b]", "abcdefghijklmnopqrstuvwx", "\t", "│", "_", ":",
    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=", "user:pw@", "c3VwZXJzZWNyZXQ", *LITERALS,
]  # fmt: skip
ALL = " ".join([*LITERALS, "\\", "%", "&", "\u200b", "\x1b"])  # no shape is left out because its literal is missing


def many(piece: str) -> str:
    return (piece * (SIZE // len(piece) + 1))[:SIZE]


def seconds(text: str) -> float:
    redactor = Redactor(["Zq8Xv4Lm2Rt7Yw1Kp9Jd5Hs3Bn6Gf0Cx"])
    begun = time.process_time()
    redactor.text(text)
    return time.process_time() - begun


@pytest.fixture(scope="module")
def prose() -> float:
    """CPU time for SIZE of plain text with all literals in it."""
    return min(seconds(many(PLAIN) + ALL) for _ in range(3))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(HEADS), min_size=1, max_size=4))
def test_looking_for_secrets_is_linear(prose: float, pieces: list[str]) -> None:
    """5,000 dashes and `x-key` behind them took seconds: 1,000 times as long as prose."""
    assert seconds(many("".join(pieces)) + ALL) <= 60 * prose


@pytest.mark.parametrize(
    "piece", ["-", "x-", "token=sk-", "password=sk-ant-", "-----BEGIN PRIVATE KEY-----", "eyJ-", "SG."]
)
def test_looking_for_secrets_was_not_linear(prose: float, piece: str) -> None:
    assert seconds(many(piece) + ALL) <= 60 * prose


KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIabcdefghijklmnop0123456789ABCDEF\n" * 400 + "-----END PRIVATE KEY-----"
TOKEN = "sk-ant-api03-Zq8Xv4Lm2Rt7Yw1Kp9Jd5Hs3Bn6Gf0CxZq8Xv4Lm2Rt7Yw1Kp9Jd5Hs3Bn6Gf0Cx"


@pytest.mark.parametrize("secret", [TOKEN, KEY, f'"password": "{TOKEN[14:40]}"', "Zq8Xv4Lm2Rt7Yw1Kp9Jd5Hs3Bn6Gf0Cx"])
@pytest.mark.parametrize(
    "at", [0, TURN - 20, TURN, TURN + OVERLAP - 20, TURN + OVERLAP - 1024, 2 * TURN - 7000, 3 * TURN]
)
def test_a_long_text_that_is_looked_at_in_turns_hides_no_secret(secret: str, at: int) -> None:
    """Wherever it stands: at the edges of what is looked at in one go, too."""
    redactor = Redactor(["Zq8Xv4Lm2Rt7Yw1Kp9Jd5Hs3Bn6Gf0Cx"])
    text = (PLAIN * 6000)[:at] + " " + secret + " " + PLAIN * 1000
    looks = list(redactor.turns(text))
    found = looks[-1]
    assert found == redactor.spans(text)
    assert found, "it is a secret"
    assert looks[:-1] == [None] * (len(looks) - 1), "nothing is said before all of it was seen"
    assert len(looks) == len(text) // TURN or len(looks) == len(text) // TURN + 1

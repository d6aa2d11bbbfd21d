"""redaction/redactor.py: every shape is found, wrapped keys too, and ordinary text is left alone."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from harnex.redaction.redactor import MARK, Redactor, secret_values

A = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOP"
SHAPES = [
    "sk-ant-api03-" + A,
    "sk-ant-oat01-" + A,
    "sk-proj-" + A,
    "sk-" + A[:40],
    "sk-or-v1-" + A,
    "sk_live_" + A[:24],
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + A[:36],
    "gho_" + A[:36],
    "ghs_" + A[:36],
    "github_pat_11AAAAAAA0" + A[:40],
    "AIzaSy" + A[:33],
    "xoxb-123456789012-" + A[:20],
    "npm_" + A[:36],
    "hf_" + A[:34],
    "gsk_" + A[:50],
    "xai-" + A[:50],
    "glpat-" + A[:20],
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc/+=\n-----END RSA PRIVATE KEY-----",
]
KEPT = [
    ("Authorization: Bearer ", "abcdef1234567890"),
    ("x-api-key: ", "abcdef1234567890"),
    ("https://user:", "hunter22"),
    ('"api_key": "', "abcdef1234567890"),
    ("password=", "correct-horse"),
    ('{\\"token\\": \\"', "abcdef1234567890"),
]


@pytest.mark.parametrize("secret", SHAPES)
def test_shapes(secret: str) -> None:
    redactor = Redactor()
    assert redactor.text(f"see {secret} here") == f"see {MARK} here"
    assert redactor.count == 1
    assert secret not in redactor.text(json.dumps({"x": secret}))


@pytest.mark.parametrize(("before", "secret"), KEPT)
def test_the_words_before_a_value_are_kept(before: str, secret: str) -> None:
    after = "@host/x" if "://" in before else ' "x'
    redactor = Redactor()
    once = redactor.text(before + secret + after)
    assert once == before + MARK + after
    assert redactor.text(once) == once
    assert redactor.count == 1


@pytest.mark.parametrize(
    "text",
    [
        "The token count is 1234567 and the key is to be brief; passwords are hashed.",
        "https://example.com:8080/a@b",
        "tokens: 1,234",
        "git checkout task-1234567890abcdefghijklmn",
        "sk-learn and risk-free; desk-organizer; a basic idea; bearer of news",
        "token = get_token()",
        "monkey: abc",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    redactor = Redactor(["some-secret-value"])
    assert redactor.text(text) == text
    assert redactor.count == 0


def test_exact_values_in_every_coat() -> None:
    secret = 'pä"ss/wörd+1\\x'
    redactor = Redactor([secret])
    for coat in (
        secret,
        json.dumps(secret),
        quote(secret),
        quote(secret, safe=""),
        *(base64.b64encode(b"u" * n + secret.encode() + b"z" * m).decode() for n in range(3) for m in range(3)),
        base64.urlsafe_b64encode(secret.encode()).decode(),
    ):
        assert MARK in redactor.text(f"<{coat}>"), coat
    assert Redactor(["short"]).text("short") == "short"
    assert Redactor(extra_patterns=[r"ticket-\d+"]).text("ticket-99") == MARK


def test_secret_values() -> None:
    env = {
        "ANTHROPIC_API_KEY": "abcdefgh1",
        "MY_PASSWORD": "correct horse",
        "KEYBOARD": "us",
        "SSH_KEY_PATH": "/home/u/.ssh/id",
        "USE_TOKEN": "disabled",
        "MAX_TOKENS": "100000000",
        "HOME": "/home/user",
        "EDITOR": "verylongeditor",
    }
    assert secret_values(env) == {"abcdefgh1", "correct horse"}


def test_a_wrapped_key_is_found() -> None:
    key = "sk-ant-api03-" + A + A
    full = [("key: " + key)[i : i + 40] for i in range(0, len("key: " + key), 40)]
    framed = [f"│ {key[i : i + 30]:<30} │" for i in range(0, len(key), 30)]
    for lines, columns in ((full, 40), (framed, 60)):
        clean = Redactor().redact_lines(lines, columns)
        assert [len(line) for line in clean] == [len(line) for line in lines]
        assert not any(key[i : i + 6] in line for line in clean for i in range(len(key) - 6)), clean
    assert clean[0].startswith("│ [redacted]**") and clean[0].endswith("│")


def test_a_value_that_is_still_being_typed_is_hidden() -> None:
    redactor = Redactor(["zebra-lantern-quartz-42"])
    assert redactor.redact_lines(["> zebra-lantern-qua"], 80) == ["> [redacted]*******"]
    assert redactor.redact_lines(["> zebra"], 80) == ["> *****"]
    assert redactor.redact_lines(["> zebra crossing"], 80) == ["> zebra crossing"]


def test_lines_without_secrets_are_the_same() -> None:
    lines = ["hello", "x" * 10, "漢字", ""]
    assert Redactor(["some-secret-value"]).redact_lines(lines, 10) == lines


SECRET = "zebra7LanternQuartz42Meadow9"


@pytest.mark.parametrize(
    "text",
    [
        SECRET[:20] + " … " + SECRET[8:],  # pieces
        "cut off: " + SECRET[:9],
        json.dumps({SECRET: 1}),
        SECRET[:14] + "\n      " + SECRET[14:],
        f'{{"a": "{base64.b64encode(b"user:" + SECRET.encode()).decode()}"}}',
        SECRET.encode().hex(),
        "&#x7a;" + "".join(f"&#{ord(c)};" for c in SECRET[1:]),
        base64.b64encode(base64.b64encode(SECRET.encode())).decode(),
    ],
)
def test_known_values_in_odd_forms(text: str) -> None:
    out = Redactor([SECRET]).text(text)
    assert MARK in out
    assert not any(SECRET[i : i + 9] in out for i in range(len(SECRET) - 9))


def test_what_was_seen_whole_is_known_in_pieces() -> None:
    key = "ghp_" + "aB3dE5fG7hJ9kL2mN4pQ6rS8tU0vW1xY7zA9"
    redactor = Redactor()
    assert redactor.text(f"the end of it is {key[20:]}") == f"the end of it is {key[20:]}"
    redactor.text(f"export X={key}")
    assert redactor.text(f"the end of it is {key[20:]}") == f"the end of it is {MARK}"


def test_a_key_that_is_cut_off_or_still_being_written() -> None:
    redactor = Redactor()
    assert redactor.text("and the key is sk-ant-api03-abC") == f"and the key is {MARK}"
    assert redactor.redact_lines(["key: ghp_a1", "next row"], 80)[0] == "key: ******"
    assert redactor.redact_lines(["run npm_config", "use sk-learn"], 80) == ["run npm_config", "use sk-learn"]


def test_a_private_key_with_line_numbers() -> None:
    rows = [
        "  1  -----BEGIN PRIVATE KEY-----",
        "  2 +MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
        "  3 +BKcwggSjAgEAAoIBAQC7VJTUt9Us8c",
    ]
    clean = Redactor().redact_lines([*rows, "", "done"], 60)
    assert "MIIE" not in clean[1] and "BKcw" not in clean[2] and clean[3:] == ["", "done"]


def test_argv_and_records() -> None:
    redactor = Redactor(names=["ACME*"])
    words = [
        "cmd",
        "--api-key",
        "abcdefgh12",
        "--no-auth",
        "x",
        "--env",
        "ACME_X=some-value-1",
        "MY_SECRET=verysecret1",
        "-H",
    ]
    assert redactor.argv(words) == [
        "cmd",
        "--api-key",
        MARK,
        "--no-auth",
        "x",
        "--env",
        f"ACME_X={MARK}",
        f"MY_SECRET={MARK}",
        "-H",
    ]
    row = redactor.clean(
        {"cwd": "/home/u/project", "meta": {"password": "hunter2-hunter2", "acme_z": "some words here"}}
    )
    assert row == {"cwd": "/home/u/project", "meta": {"password": MARK, "acme_z": MARK}}


def test_paths_keep_words_that_are_values_too() -> None:
    redactor = Redactor(["frontend-app", "zebra7LanternQuartz42"])
    assert redactor.clean({"cwd": "/w/frontend-app", "note": "frontend-app"}) == {
        "cwd": "/w/frontend-app",
        "note": MARK,
    }
    assert redactor.path("/w/zebra7LanternQuartz42/x") == f"/w/{MARK}/x"

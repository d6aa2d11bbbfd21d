"""redaction/shapes.py and redaction/decode.py: names, values, and the way back from a decoded text."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.redaction.decode import base64_text, decoded, hex_text
from harnex.redaction.redactor import MARK, Redactor
from harnex.redaction.shapes import file_values, is_secret_field, is_secret_name, secret_values


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "token", "DB_PASSWORD", "MY_SECRET", "x-auth", "SENTRY_DSN", "PGPASS"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["GIT_AUTHOR_NAME", "KEYBOARD", "PWD", "OLDPWD", "SSH_ASKPASS", "key_sha256", "total_tokens", "HOME", "KEY_FILE"],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_values() -> None:
    env = {
        "PROJECT_KEY": "my-website",
        "API_TOKEN": "my-website",
        "DATABASE_URL": "postgres://app:hunter2hunter2@db/x",
        "SOME_URL": "https://example.com:8080/a@b",
        "TLS_PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
        "SPECIAL": "seventeen-and-more",
    }
    found = secret_values(env, ("SPEC*",))
    assert {"my-website", "hunter2hunter2", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "seventeen-and-more"} < found
    assert secret_values({"PROJECT_KEY": "my-website"}) == set()
    assert secret_values({"SOME_URL": env["SOME_URL"]}) == set()


def test_a_json_field_needs_a_sure_name_and_one_word() -> None:
    assert is_secret_field("password", "hunter2-hunter2")
    assert not is_secret_field("password", "please type your password")
    assert not is_secret_field("key", "src/main.py:12x")
    assert not is_secret_field("auth", "x-api-key")
    assert is_secret_field("acme", "any words here", ("ACME*",))


def test_the_values_of_a_credential_file() -> None:
    login = {"tokens": {"id_token": "a" * 40, "kind": "oauth"}, "last": "2026-01-01", "u": "https://example.org/a/b/c"}
    assert file_values(json.dumps(login)) == {"a" * 40}
    assert file_values("just-one-key-1234\n") == {"just-one-key-1234"}


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_way_back_from_a_decoded_text(before: str, after: str) -> None:
    secret = "zebra7LanternQuartz42Meadow"
    for coat in (
        "".join(f"\\u{ord(c):04x}" for c in secret),
        quote(secret + "/", safe=""),
        "\x1b[31m".join(secret),
        json.dumps(json.dumps("\n" + secret)),
    ):
        text = before.replace("\\", "").replace("%", "") + "<" + coat + ">" + after
        spans = Redactor([secret]).spans(text)
        assert spans, text
        hidden = "".join(text[start:end] for start, end in spans)
        assert len(hidden) <= len(coat) and hidden in coat


def test_decoded() -> None:
    assert decoded("plain text") is None
    for coded, said in (
        (r"a\u00e9\n", "aé\n"),
        (r"\ud83d\ude00!", "😀!"),
        ("%C3%A4%", "ä%"),
        ("&#x41;&amp;&#66;", "A&B"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("zero\u200bwidth", "zerowidth"),
        ("a" * 20 + "\n" + "b" * 20, "a" * 20 + "b" * 20),
        ("a word\nanother", None),
    ):
        view = decoded(coded)
        assert (view.text if view else None) == said, coded


def test_runs() -> None:
    assert hex_text(b"hello there friend".hex()) == "hello there friend"
    assert hex_text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") is None
    assert "user:hello there" in "".join(base64_text("x" + base64.b64encode(b"user:hello there").decode()))


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


def test_a_long_value_of_a_variable_is_looked_through_at_once() -> None:
    """100,000 letters once took a minute, because each of them could begin a URL."""
    begun = time.process_time()
    assert secret_values({"PANE": "x" * 200_000, "HOME": "a." * 100_000}) == set()
    assert secret_values({"X": "y" * 100_000 + "://u:hunter2hunter2@h"}) == {"hunter2hunter2"}
    assert time.process_time() - begun < 2.0

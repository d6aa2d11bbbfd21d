"""redaction/shapes.py: names and values of secrets."""

from __future__ import annotations

import json
import time

import pytest

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


def test_a_long_value_of_a_variable_is_looked_through_at_once() -> None:
    """100,000 letters once took a minute, because each of them could begin a URL."""
    begun = time.process_time()
    assert secret_values({"PANE": "x" * 200_000, "HOME": "a." * 100_000}) == set()
    assert secret_values({"X": "y" * 100_000 + "://u:hunter2hunter2@h"}) == {"hunter2hunter2"}
    assert time.process_time() - begun < 2.0

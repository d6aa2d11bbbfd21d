"""What a person or a repository puts in stands in no file as it was: no secret, and
nothing that a terminal obeys."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Harnex
from tests.e2e.test_safety import ALNUM, coats, found_in, git, leaks

KNOWN = "zebra7LanternQuartz42Meadow9Violet"  # known by the name of its variable
SHAPED = "ghp_" + (ALNUM * 2)[3:39]  # known by its shape
SECRETS = {"known": KNOWN, "shaped": SHAPED}
POLICY = {
    "--nudge-text": "say {}",
    "--verify": "true {}",
    "--done-when": "true {}",
    "--notify-cmd": "cat >/dev/null; echo {}",
    "--preset": "night",
}


def repository(harnex: Harnex, secret: str) -> Path:
    """Make a repository in a folder, on a branch, with a remote and an
    author that hold the secret."""
    place = harnex.base / f"w {secret}"
    place.mkdir()
    git(place, "init", "-q", "-b", f"feat/{secret}")
    git(place, "remote", "add", "origin", f"https://bob:{secret}@git.example/x.git")
    (place / f"{secret}.txt").write_text(secret)
    git(place, "add", "-A")
    git(place, "-c", f"user.name={secret}", "commit", "-qm", f"use {secret}")
    (place / ".harnex.toml").write_text(
        f'[presets.night]\nverify = "true {secret}"\n[redact]\npatterns = ["{secret[:20]}-[0-9]+"]\n'
    )
    return place


def program(harnex: Harnex, secret: str) -> str:
    """Make an agent under a name that holds the secret.

    It sets a title with the secret, and says it.
    """
    folder = harnex.base / f"bin {secret}"
    folder.mkdir()
    path = folder / f"agent-{secret}"
    path.write_text(
        f"#!/bin/sh\n[ \"$1\" = --version ] && {{ echo 'agent 1.2.3 {secret}'; exit; }}\n"
        f"printf '\\033]0;title {secret}\\007$ '\nexport PS1='{secret}$ '\nexec cat\n"
    )
    path.chmod(0o755)
    return str(path)


def put_everywhere(harnex: Harnex, secret: str) -> dict[str, Any]:
    """Start a session with the secret in everything that can be said at its start.

    Returns the reply of `run`.
    """
    harnex.env |= {
        "ACME_API_KEY": KNOWN,
        "TMUX_PANE": f"%{secret}",
        "HARNEX_ID": secret,
        "HARNEX_RUN_ID": f"r-{secret}",
        "HARNEX_SPAWNER_PANE": secret,
        "USER": secret,
        f"NAME_{secret}": "x",
    }
    place = repository(harnex, secret)
    quoted = coats(secret)
    meta = {
        secret: 1,
        "note": secret,
        "coded": quoted["base64"],
        "percent": quoted["percent all"],
        "deep": [{"k": [secret]}],
    }
    words = [
        "run", program(harnex, secret), "--detach", "--id", "everywhere", "--cwd", str(place),
        "--description", f"with {secret} and {quoted['base64']}", "--meta", json.dumps(meta), "--context", f"first {secret}",
        "--env", f"SOME_{secret}={secret}", "--env", f"PLAIN={quoted['hex']}", "--cli-version", f"1.2.3-{secret}",
        "--watch-file", f"{place}/{secret}.txt", "--summary-out", str(harnex.base / f"out {secret}.json"),
        *(word.format(secret) for pair in POLICY.items() for word in pair),
    ]  # fmt: skip
    child = {k: v for k, v in harnex.env.items() if k not in ("HARNEX_ID", "HARNEX_RUN_ID")}
    harnex.ok("trust", str(place), env=child)
    return dict(harnex.json(*words, "--", f"--token={secret}", "--password", secret, f"https://u:{secret}@x/", secret))


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_every_input_is_in_no_file(harnex: Harnex, name: str) -> None:
    secret = SECRETS[name]
    assert found_in(json.dumps(coats(secret)).encode(), SECRETS), "the search itself finds it"
    reply = put_everywhere(harnex, secret)
    run_id = reply["run_id"]
    live = harnex.state / "sessions"
    harnex.run("send", "--id", run_id, "--message", f"take {secret}", "--no-wait")
    harnex.until(lambda: harnex.events("everywhere", "git"), what="git was looked at")
    assert leaks(live, SECRETS) == []
    harnex.ok("stop", "--id", run_id)
    assert leaks(harnex.state, SECRETS) == []
    assert [name for name in os.listdir(harnex.base) if name.startswith("out ")] == [f"out {secret}.json"]
    assert found_in((harnex.base / f"out {secret}.json").read_bytes(), SECRETS) == []


@pytest.mark.parametrize("name", SECRETS)
def test_nor_after_a_crash(harnex: Harnex, name: str) -> None:
    secret = SECRETS[name]
    reply = put_everywhere(harnex, secret)
    harnex.until(lambda: harnex.events("everywhere", "git"), what="git was looked at")
    place = harnex.base / f"w {secret}"
    (place / "new").write_text("x")
    git(place, "add", "-A")
    git(place, "checkout", "-qb", f"other/{secret}")
    os.kill(reply["supervisor_pid"], signal.SIGKILL)
    harnex.ok("status", "--json", "--all")
    row = harnex.json("history", "--json", "--all")[-1]
    assert row["reason"] == "supervisor_lost" and row["git"]["branch"]
    assert leaks(harnex.state, SECRETS) == []


@pytest.mark.parametrize("name", SECRETS)
def test_nor_when_it_can_not_start(harnex: Harnex, name: str) -> None:
    secret = SECRETS[name]
    harnex.env |= {"ACME_API_KEY": KNOWN}
    place = repository(harnex, secret)
    for words in (
        (f"no-{secret}",),
        ("sh", "--", "-c", f"echo {secret}; exit 3", secret),
        ("cat", "--cwd", str(place), "--watch-file", f"{place}/no/{secret}"),
        ("demo", "--rehearse", f"/no/{secret}.json"),
    ):
        harnex.run("run", *words[:1], "--detach", "--id", "x", "--description", secret, *words[1:])
        harnex.run("stop", "--id", "x")
    harnex.run("stop", "--id", secret)
    harnex.run("events", "--id", secret, "--from", secret)
    assert leaks(harnex.state, SECRETS) == []


@pytest.mark.parametrize("name", SECRETS)
def test_an_id_that_is_a_secret_is_refused(harnex: Harnex, name: str) -> None:
    harnex.env |= {"ACME_API_KEY": KNOWN}
    done = harnex.run("run", "cat", "--detach", "--id", SECRETS[name])
    assert done.returncode == 2 and "holds a secret" in done.stderr
    assert leaks(harnex.state, SECRETS) == []


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_no_file_of_ours_makes_a_terminal_obey(harnex: Harnex) -> None:
    """`cat manifest.json` shows all that is there.

    Only raw recordings keep the child's own bytes as they are.
    """
    evil = "a\x1b]52;c;QQ==\x07b\u009b31mc\u202ed\x7fe\u200bf"
    place = harnex.base / "w\u009b\u202e\x7f"
    place.mkdir()
    git(place, "init", "-q", "-b", "main\u202e\u009b31m")
    git(place, "commit", "-q", "--allow-empty", "-m", evil)
    script = "printf '\\033]0;t\\302\\2331m\\342\\200\\256i\\007said \\342\\200\\256it'; sleep 100"
    words = ("--description", evil, "--meta", json.dumps({evil: evil}, ensure_ascii=False), "--cwd", str(place))
    reply = harnex.json("run", "sh", "--detach", "--id", "x", *words, "--env", f"A={evil}", "--", "-c", script, evil)
    run_dir = harnex.state / "runs" / reply["run_id"]
    harnex.until(lambda: "said" in (run_dir / "session.cast").read_text(), what="it was recorded")
    harnex.until(lambda: harnex.events("x", "git"), what="git was looked at")

    def obeyed() -> list[str]:
        bad = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x200B)))
        found = []
        for path in (p for p in harnex.state.rglob("*") if p.is_file()):
            text = path.read_text("utf-8", "surrogateescape")
            found += [f"{path.name}: {c!a}" for c in set(text) & (set(bad) - {"\n"})]
        return found

    assert obeyed() == []
    harnex.ok("stop", "--force", "--id", "x")
    assert obeyed() == []
    assert json.loads((run_dir / "manifest.json").read_text())["meta"] == {evil: evil}
    assert (
        "\u009b"
        not in subprocess.run(
            ["grep", "-c", "\u009b", str(run_dir / "session.cast")], capture_output=True, text=True, check=False
        ).stdout
    )


# ---- entries that are too large, or damaged ----


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--meta", json.dumps({"x": "y" * (64 << 10)})), "--meta is too long: 65,544 bytes of JSON; at most 65,536"),
        (("--meta", json.dumps({"x": "ü" * 20_000}, ensure_ascii=False)), "--meta is too long: 120,008 bytes of JSON"),
        (("--description", "d" * 2001), "--description is too long: 2,001 characters; at most 2,000"),
        (("--cli-version", "1" * 101), "--cli-version is too long"),
        (("--", *["a" * 100_000] * 11), "the arguments for the CLI is too long: 1,100,000 bytes in all"),
    ],
)
def test_what_is_too_large_for_an_entry_is_refused(harnex: Harnex, words: tuple[str, ...], says: str) -> None:
    done = harnex.run("run", "cat", "--detach", "--id", "big", *words)
    assert done.returncode == 2, done.stderr[:500]
    assert says in done.stderr and says in json.loads(done.stdout)["error"]
    assert not (harnex.state / "sessions").exists() or not list((harnex.state / "sessions").glob("*.json"))


def test_the_largest_that_is_taken_can_be_seen_and_stopped(harnex: Harnex) -> None:
    meta = json.dumps({"x": "y" * ((64 << 10) - 8)}, separators=(",", ":"))
    harnex.env["TMUX_PANE"] = "%" + "x" * 100_000
    harnex.ok("run", "cat", "--detach", "--id", "big", "--description", "\U0001f600" * 2000, "--meta", meta)
    (entry,) = (harnex.state / "sessions").glob("*.json")
    assert entry.stat().st_size < 256 << 10
    assert [r["id"] for r in harnex.json("status", "--json")] == ["big"]
    assert harnex.json("stop", "--id", "big")["ok"]


def stopped_supervisor(harnex: Harnex) -> tuple[dict[str, Any], Path]:
    reply = harnex.json("run", "cat", "--detach", "--id", "hurt", "--description", "the work")
    (entry,) = (harnex.state / "sessions").glob("*--hurt.json")
    os.kill(reply["supervisor_pid"], signal.SIGSTOP)  # or the supervisor would mend the entry
    return reply, entry


DAMAGE = {
    "too large": lambda data: data[:-2] + b',"x":"' + b"y" * (1 << 20) + b'"}\n',
    "torn": lambda data: data[:40],
    "empty": lambda data: b"",
    "no record": lambda data: b'{"id":"hurt"}\n',
    "binary": lambda data: os.urandom(4096),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_session_with_a_damaged_entry_is_seen_and_stopped(harnex: Harnex, how: str) -> None:
    reply, entry = stopped_supervisor(harnex)
    try:
        entry.write_bytes(DAMAGE[how](entry.read_bytes()))
        done = harnex.run("status")
        assert done.returncode == 0 and "hurt" in done.stdout and "unknown (entry damaged)" in done.stdout
        assert f"entry of session 'hurt' is damaged ({entry})" in done.stderr and "stop --id hurt" in done.stderr
        (row,) = harnex.json("status", "--json")
        assert (row["id"], row["run_id"], row["state"], row["damaged"]) == (
            "hurt",
            reply["run_id"],
            "unknown",
            str(entry),
        )
        assert (row["supervisor_pid"], row["description"]) == (reply["supervisor_pid"], "the work")
        checks = {c["what"]: c for c in json.loads(harnex.run("doctor", "--json").stdout)["checks"]}
        assert checks["session hurt"]["status"] == "warning" and "damaged" in checks["session hurt"]["found"]
        again = harnex.run("run", "cat", "--detach", "--id", "hurt")
        assert again.returncode == 1 and "already running" in again.stderr
    finally:
        os.kill(reply["supervisor_pid"], signal.SIGCONT)
    assert harnex.json("stop", "--id", "hurt")["reason"] == "stopped"
    assert harnex.json("history", "--json")[-1]["reason"] == "stopped"
    assert not entry.exists() and harnex.json("status", "--json", "--all") == []


def test_a_damaged_entry_is_written_anew(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "hurt")
    (entry,) = (harnex.state / "sessions").glob("*--hurt.json")
    entry.write_bytes(b"garbage")
    harnex.until(lambda: entry.read_bytes()[:1] == b"{", what="the supervisor mends it")
    assert "damaged" not in harnex.json("status", "--json")[0]
    harnex.ok("stop", "--id", "hurt")

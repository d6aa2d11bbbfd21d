"""A repository's `.harnex.toml` runs nothing here before a person ran `harnex trust` (the table:
tests/unit/test_trust.py)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Harnex

OTHER = 54321
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def evil(harnex: Harnex, preset: str = "impl", at: Path | None = None) -> Path:
    """Write a file that runs something in every possible way.

    Returns the folder of the marks of what ran.
    """
    marks = harnex.base / "marks"
    marks.mkdir(exist_ok=True)
    path = (at or harnex.work) / ".harnex.toml"
    path.write_text(
        f"[presets.{preset}]\nverify = \"touch '{marks}/verify'\"\ndone_when = \"touch '{marks}/done_when'\"\n"
        f"notify_cmd = \"touch '{marks}/notify_cmd'\"\nnudge_text = \"touch '{marks}/nudge_text'\"\n"
        f'[notify]\ncmd = "touch \'{marks}/cmd\'"\nurls = ["file://{marks}/urls"]\n'
    )
    return marks


def ran(marks: Path) -> set[str]:
    return {p.name for p in marks.iterdir()}


def watched(harnex: Harnex, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    words = (
        "run",
        "demo",
        "--watch",
        "--auto-stop",
        "--id",
        "w",
        "--rehearse",
        harnex.script("Done."),
        "--context",
        "go",
    )
    return harnex.run(*words, *options, **settings)


def test_without_consent_the_run_starts_without_its_commands(harnex: Harnex) -> None:
    marks = evil(harnex)
    done = watched(harnex)
    assert done.returncode == 0, done.stderr
    assert f"{harnex.work}/.harnex.toml is not trusted, left out: verify (presets.impl)" in done.stderr
    assert f"harnex trust '{harnex.work}'" in done.stderr
    assert ran(marks) == set()
    (started,) = harnex.events("w", "started")
    assert any("is not trusted" in note for note in started["notes"]), "the record says so, too"


def test_with_consent_they_run(harnex: Harnex) -> None:
    marks = evil(harnex)
    text = (harnex.work / ".harnex.toml").read_text()
    harnex.trust(text.replace("urls =", "# urls ="))
    done = watched(harnex, "--preset", "impl")
    assert done.returncode == 0, done.stderr
    harnex.until(lambda: ran(marks) >= {"verify", "done_when", "notify_cmd"}, what="the checks, and the notifier")
    assert "not trusted" not in done.stderr


@pytest.mark.parametrize("how", ["--watch", "--detach"])
def test_a_preset_by_name_is_refused(harnex: Harnex, how: str) -> None:
    marks = evil(harnex, "night")
    done = harnex.run("run", "demo", how, "--preset", "night", "--id", "w")
    assert done.returncode == 2
    assert "the preset 'night' is in" in done.stderr and f"harnex trust '{harnex.work}'" in done.stderr
    if how == "--detach":
        reply = json.loads(done.stdout)
        assert not reply["ok"] and "harnex trust" in reply["hint"]
    assert harnex.json("status", "--json", "--all") == [] and ran(marks) == set()


def test_a_change_of_one_byte_needs_consent_again(harnex: Harnex) -> None:
    marks = evil(harnex)
    harnex.ok("trust")
    with (harnex.work / ".harnex.toml").open("a") as f:
        f.write("\n")
    done = watched(harnex)
    assert done.returncode == 0 and "is not trusted" in done.stderr and ran(marks) == set()


def test_a_copy_of_a_trusted_file_is_not_trusted(harnex: Harnex) -> None:
    """In a copy the commands are other programs: `make test` is that folder's Makefile."""
    marks = evil(harnex)
    harnex.ok("trust")
    other = harnex.base / "other"
    (other / ".git").mkdir(parents=True)
    shutil.copy(harnex.work / ".harnex.toml", other)
    done = watched(harnex, cwd=other)
    assert done.returncode == 0 and f"{other}/.harnex.toml is not trusted" in done.stderr and ran(marks) == set()
    done = watched(harnex, "--cwd", str(other), cwd=harnex.work)
    assert done.returncode == 0 and f"{other}/.harnex.toml is not trusted" in done.stderr and ran(marks) == set()


def test_what_an_agent_writes_does_not_run_by_the_next_watch(harnex: Harnex) -> None:
    """Neither a file that the agent writes runs, nor its change of a file that
    was trusted before it began."""
    marks = evil(harnex)
    text = (harnex.work / ".harnex.toml").read_text()
    harnex.trust("[presets.impl]\nmax_turns = 50\n")
    write = {"text": "x", "tools": [{"write": [".harnex.toml", text]}]}
    harnex.agent("w", write, "Done.", run=("--context", "go"))
    harnex.ok("wait", "--id", "w", "--until", "task_complete", "--timeout", "30")
    assert (harnex.work / ".harnex.toml").read_text() == text
    done = harnex.run("watch", "--id", "w")
    assert done.returncode == 0 and "is not trusted, left out: verify" in done.stderr, done.stderr
    done = harnex.run("watch", "--id", "w", "--preset", "impl")
    assert done.returncode == 2 and "harnex trust" in done.stderr
    harnex.ok("stop", "--id", "w")
    assert ran(marks) == set()


def test_a_watch_that_runs_keeps_what_was_trusted_at_its_start(harnex: Harnex) -> None:
    """Also if the agent crashes and is started again, and if the run is resumed by `recover`."""
    marks = evil(harnex)
    text = (harnex.work / ".harnex.toml").read_text()
    harnex.trust(f"[presets.impl]\nverify = \"touch '{marks}/first'\"\n")
    write = {"text": "x", "tools": [{"write": [".harnex.toml", text]}]}
    script = harnex.script(write, "Done.", {"first_byte": 60, "text": "never"}, "Done again.", "Done at last.")
    words = ("run", "demo", "--detach", "--preset", "impl", "--id", "w", "--rehearse", script, "--context", "go")
    reply = harnex.json(*words)
    harnex.until(lambda: ran(marks) == {"first"}, what="the check of the start")
    (marks / "first").unlink()
    harnex.ok("send", "--id", "w", "--message", "more")
    harnex.until(lambda: len(harnex.events("w", "turn_started")) == 2, what="the turn")
    os.kill(reply["pid"], 9)
    harnex.until(lambda: ran(marks) == {"first"}, 30, what="the same check after a restart")
    assert harnex.events("w", "restart")
    (marks / "first").unlink()
    os.kill(reply["supervisor_pid"], 9)
    harnex.ok("recover", "--id", "w", "--resume", "--json")
    harnex.ok("send", "--id", "w", "--message", "more", "--wait-for-idle", "--timeout", "30")
    harnex.until(lambda: ran(marks) == {"first"}, what="the same check in the run that goes on")
    harnex.ok("stop", "--id", "w")
    assert ran(marks) == {"first"}


def test_secrets_stay_covered_though_the_agent_changed_the_rules(harnex: Harnex) -> None:
    (harnex.work / ".harnex.toml").write_text('[redact]\nnames = ["ODD_*"]\n')
    harnex.env["ODD_VALUE"] = "zebra-lantern-quartz-91"
    write = {"text": "x", "tools": [{"write": [".harnex.toml", "[presets.x\n"]}]}
    reply = harnex.agent("w", write, "Done.", "It is zebra-lantern-quartz-91.", run=("--context", "go"))
    harnex.ok("wait", "--id", "w", "--until", "task_complete", "--timeout", "30")
    os.kill(reply["supervisor_pid"], 9)
    told = harnex.json("recover", "--id", "w", "--resume", "--json")
    assert told["resumed"][0]["ok"], "a file that the agent broke stops nothing"
    harnex.ok("send", "--id", "w", "--message", "say it", "--wait-for-idle", "--timeout", "30")
    harnex.ok("stop", "--id", "w")
    for path in harnex.state.rglob("*"):
        if path.is_file() and "home" not in path.parts:
            assert b"zebra-lantern-quartz-91" not in path.read_bytes(), path


# ---- whose file it is ----


@root_only
@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_a_file_of_another_user_is_not_read(harnex: Harnex, what: str) -> None:
    """Not even its syntax is read.

    A message says so, for `run` with and without a watch, and for `exec`.
    """
    marks = evil(harnex)
    path = harnex.work / ".harnex.toml"
    if what == "link":
        path.rename(harnex.base / "real.toml")
        path.symlink_to(harnex.base / "real.toml")
    else:
        path.write_text(path.read_text() + "[not TOML")
    os.chown(harnex.work if what == "folder" else path, OTHER, OTHER, follow_symlinks=False)
    done = watched(harnex)
    assert done.returncode == 0, done.stderr
    assert f"{path} is not used: " in done.stderr and f"belongs to another user (uid {OTHER})" in done.stderr
    done = watched(harnex, "--preset", "night")
    assert done.returncode == 2 and "is not used" in done.stderr
    done = harnex.run("run", "cat", "--detach", "--id", "c")
    assert done.returncode == 0 and "is not used" in done.stderr
    harnex.ok("stop", "--id", "c")
    done = harnex.run("trust")
    assert done.returncode == 1 and "is not used" in done.stderr
    assert ran(marks) == set()
    check = next(c for c in harnex.json("doctor", "--json")["checks"] if c["what"] == "repository's file")
    assert check["status"] == "warning" and "belongs to another user" in check["found"]


@root_only
def test_a_repository_of_another_user_above_the_working_directory(harnex: Harnex) -> None:
    """A `.git` and a file of other people in a folder that everybody shares."""
    shared = harnex.base / "shared"
    (shared / "mine").mkdir(parents=True)
    shared.chmod(0o1777)
    (shared / ".git").mkdir()
    marks = evil(harnex, at=shared)
    for path in (shared / ".git", shared / ".harnex.toml"):
        os.chown(path, OTHER, OTHER)
    done = watched(harnex, cwd=shared / "mine")
    assert done.returncode == 0 and "belongs to another user" in done.stderr and ran(marks) == set()


def test_a_folder_that_everybody_can_write(harnex: Harnex) -> None:
    marks = evil(harnex)
    harnex.ok("trust")
    harnex.work.chmod(0o777)
    done = watched(harnex)
    assert done.returncode == 0 and f"{harnex.work} can be written by everybody" in done.stderr and ran(marks) == set()
    assert harnex.json("trust", "--list", "--json")[0]["state"] == "unsafe"


@root_only
def test_the_users_own_file_must_be_theirs(harnex: Harnex) -> None:
    path = Path(harnex.env["HOME"]) / ".config" / "harnex" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[notify]\ncmd = 'touch ../mark'\n")
    assert watched(harnex).returncode == 0, "no consent is needed for it"
    harnex.until((harnex.base / "mark").exists, what="the notifier")
    os.chown(path, OTHER, OTHER)
    done = watched(harnex)
    assert done.returncode == 2 and f"{path} is not used" in done.stderr and "chown" in done.stderr


# ---- the command ----


def test_the_command(harnex: Harnex) -> None:
    evil(harnex)
    path = f"{harnex.work}/.harnex.toml"
    shown = harnex.json("trust", "--show", "--json")
    assert (shown["ok"], shown["path"], shown["trusted"]) == (True, path, False)
    assert [c["key"] for c in shown["commands"]] == ["verify", "done_when", "notify_cmd", "nudge_text", "cmd", "urls"]
    assert harnex.json("trust", "--list", "--json") == []
    (harnex.work / "deep" / "er").mkdir(parents=True)
    given = harnex.json("trust", "deep/er", "--json")
    assert (given["path"], given["trusted"], given["sha256"]) == (path, True, shown["sha256"])
    assert harnex.json("trust", path, "--show", "--json")["trusted"] is True
    (row,) = harnex.json("trust", "--list", "--json")
    assert (row["path"], row["sha256"], row["state"]) == (path, shown["sha256"], "current")
    kept = [p for p in harnex.state.rglob("*") if p.is_file() and p.parent.name == "trust"]
    assert [p.stat().st_mode & 0o777 for p in kept] == [0o600]
    assert "trusted as it is now" in harnex.ok("trust")
    assert "current" in harnex.ok("trust", "--list")
    text = (harnex.work / ".harnex.toml").read_text()
    (harnex.work / ".harnex.toml").write_text(text + "#")
    assert harnex.json("trust", "--list", "--json")[0]["state"] == "changed"
    (harnex.work / ".harnex.toml").unlink()
    assert harnex.json("trust", "--list", "--json")[0]["state"] == "missing"
    assert harnex.json("trust", "--revoke", "--json")["revoked"] == 1
    assert harnex.json("trust", "--revoke", "--json")["revoked"] == 0
    assert harnex.json("trust", "--list", "--json") == []


def test_what_the_command_refuses(harnex: Harnex) -> None:
    done = harnex.run("trust")
    assert done.returncode == 1 and "there is no" in done.stderr
    assert harnex.run("trust", "/nowhere/at/all").returncode == 1
    assert harnex.run("trust", "--list", "--revoke").returncode == 2
    (harnex.work / "sub").mkdir()
    evil(harnex, at=harnex.work / "sub")
    done = harnex.run("trust", "sub/.harnex.toml")
    assert done.returncode == 2 and f"{harnex.work}/.harnex.toml" in done.stderr, "harnex reads the one at the top only"
    (harnex.work / ".harnex.toml").write_text("[presets.x]\nverify = 3\n")
    done = harnex.run("trust")
    assert done.returncode == 2 and "is not a text" in done.stderr
    assert harnex.json("trust", "--list", "--json") == []


def test_an_agent_can_not_consent(harnex: Harnex) -> None:
    evil(harnex)
    harness = str(Path(harnex.program[0]))
    tool = {"text": "x", "tools": [{"bash": f"'{harness}' trust; echo $? > ../code"}]}
    harnex.agent("w", tool, "Done.", run=("--context", "go"))
    harnex.ok("wait", "--id", "w", "--until", "task_complete", "--timeout", "30")
    assert (harnex.base / "code").read_text() == "4\n"
    harnex.ok("stop", "--id", "w")
    assert harnex.json("trust", "--list", "--json") == []


def test_a_hostile_value_is_shown_and_not_obeyed(harnex: Harnex) -> None:
    (harnex.work / ".harnex.toml").write_text('[presets."a\\u001b[2J"]\nverify = "x\\u001b[1A\\u202e"\n')
    for words in (("trust", "--show"), ("trust",)):
        done = harnex.run(*words)
        assert done.returncode == 0 and "\x1b" not in done.stdout and "\u202e" not in done.stdout, done.stdout


@pytest.mark.parametrize("name", ["new\nline", "\udcff\udcfe", "q'uo\"te $(x)"], ids=["newline", "bytes", "quotes"])
def test_odd_names_of_folders(harnex: Harnex, name: str) -> None:
    folder = os.path.join(str(harnex.base), name)
    os.mkdir(folder)
    os.mkdir(os.path.join(folder, ".git"))
    harnex.work = Path(folder)
    marks = evil(harnex)
    done = watched(harnex)
    assert done.returncode == 0 and "is not trusted" in done.stderr and ran(marks) == set()
    text = (harnex.work / ".harnex.toml").read_text()
    harnex.trust(text.replace("urls =", "# urls ="))
    assert harnex.json("trust", "--list", "--json")[0]["state"] == "current"
    assert watched(harnex).returncode == 0
    harnex.until(lambda: "verify" in ran(marks), what="the check")


def test_doctor_says_how_it_stands(harnex: Harnex) -> None:
    def look() -> dict[str, str]:
        return next(c for c in harnex.json("doctor", "--json")["checks"] if c["what"] == "repository's file")

    assert look()["found"].startswith("no ")
    (harnex.work / ".harnex.toml").write_text("[redact]\nnames = ['A_*']\n")
    assert look()["status"] == "ok"
    evil(harnex)
    assert look()["status"] == "warning" and f"harnex trust '{harnex.work}'" in look()["mend"]
    harnex.ok("trust")
    assert look()["found"].endswith(", trusted")

"""git as the installed command calls it, from the start of a run to its report (the
table: tests/unit/test_git.py)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Harnex

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")
SIGNED = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n"


def git(harnex: Harnex, *words: str, at: Path | None = None, text: str = "") -> str:
    env = {k: v for k, v in harnex.env.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", *IDENTITY, *words],
        cwd=at or harnex.work,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        input=text,
    )
    return done.stdout.strip()


def repository(harnex: Harnex, folder: str | None = None) -> Path:
    """A repository in which everything that git would run leaves `mark`."""
    if folder is not None:
        harnex.work = Path(os.fsdecode(os.fsencode(harnex.base) + b"/" + os.fsencode(folder)))
        harnex.work.mkdir()
    elif (harnex.work / ".git").is_dir():
        (harnex.work / ".git").rmdir()
    mark, program = harnex.base / "mark", harnex.base / "program"
    program.write_text(f"#!/bin/sh\n: > {mark}\ncat\n")
    program.chmod(0o755)
    git(harnex, "init", "-q", "-b", "main")
    (harnex.work / ".gitattributes").write_text("*.txt filter=it diff=it\n")
    (harnex.work / "a.txt").write_text("1\n")
    git(harnex, "add", "-A")
    git(harnex, "commit", "-qm", "first")
    for key in (
        "filter.it.clean", "filter.it.process", "filter.it.smudge", "core.fsmonitor", "diff.external", "diff.it.command",
        "diff.it.textconv", "core.pager", "pager.log", "gpg.program", "core.sshCommand", "core.editor", "core.askPass",
        "credential.helper", "hook.it.command",
    ):  # fmt: skip
        git(harnex, "config", key, str(program))
    git(harnex, "config", "hook.it.event", "post-index-change")
    git(harnex, "config", "log.showSignature", "true")
    (harnex.work / ".git" / "hooks").mkdir(exist_ok=True)
    for hook in ("post-index-change", "reference-transaction", "post-checkout", "pre-auto-gc", "fsmonitor-watchman"):
        (harnex.work / ".git" / "hooks" / hook).symlink_to(program)
    os.utime(harnex.work / "a.txt", (1e9, 1e9))
    mark.unlink(missing_ok=True)
    return mark


def signed_commit(harnex: Harnex) -> str:
    """Make a commit with a signature: with log.showSignature, `git log` asks gpg about it."""
    text = git(harnex, "cat-file", "commit", "HEAD")
    head, _, body = text.partition("\n\n")
    parent = git(harnex, "rev-parse", "HEAD")
    tree, _, rest = head.partition("\n")
    rest = "\n".join(line for line in rest.splitlines() if not line.startswith("parent"))
    made = f"{tree}\nparent {parent}\n{rest}\n{SIGNED}\n{body}\n"
    return git(harnex, "hash-object", "-t", "commit", "-w", "--stdin", text=made)


@pytest.mark.parametrize("folder", [None, "new\nline", "\udcff\udcfe no text"], ids=["plain", "newline", "bytes"])
def test_a_run_in_a_repository_of_others_runs_nothing_of_it(harnex: Harnex, folder: str | None) -> None:
    mark = repository(harnex, folder)
    first = git(harnex, "rev-parse", "HEAD")
    reply = harnex.agent("w", "Done.", "Done.", run=("--context", "go"))
    harnex.ok("wait", "--id", "w", "--until", "task_complete", "--timeout", "30")
    harnex.until(lambda: harnex.events("w", "git"), what="the look at the start")
    second = signed_commit(harnex)
    (harnex.work / ".git" / "refs" / "heads" / "main").write_text(second + "\n")
    mark.unlink(missing_ok=True)
    harnex.ok("stop", "--id", "w")
    row = harnex.json("history", "--json")[-1]
    assert (row["git"]["start_sha"], row["git"]["end_sha"], row["git"]["commits"]) == (first, second, 1)
    page = harnex.base / "r.html"
    harnex.ok("report", "--id", "w", "-o", str(page))
    assert second[:7] in page.read_text(), "the report has the commit"
    manifest = json.loads((harnex.state / "runs" / reply["run_id"] / "manifest.json").read_text())
    assert manifest["git"] == {"sha": first, "branch": "main"}
    assert not mark.exists()
    assert list(harnex.state.glob("tmp/*")) == []


def test_after_a_crash_neither(harnex: Harnex) -> None:
    mark = repository(harnex)
    reply = harnex.agent("w", "Done.", run=("--context", "go"))
    harnex.until(lambda: harnex.events("w", "git"), what="the look at the start")
    os.kill(reply["supervisor_pid"], 9)
    left = harnex.state / "tmp" / f"git-{reply['supervisor_pid']}-x"
    left.mkdir(parents=True)
    harnex.ok("recover", "--all", "--json")
    assert harnex.json("history", "--json")[-1]["git"]["commits"] == 0
    assert not mark.exists()
    assert not left.exists(), "what a killed process left is removed"


def test_the_environment_names_no_other_repository(harnex: Harnex) -> None:
    """GIT_DIR is set, as in a hook of another repository or in a shell where a person forgot it."""
    mark = repository(harnex)
    first = git(harnex, "rev-parse", "HEAD")
    other = harnex.base / "other"
    git(harnex, "init", "-q", str(other))
    git(harnex, "commit", "-qm", "other", "--allow-empty", at=other)
    harnex.env |= {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_CONFIG_COUNT": "1",
                   "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": str(harnex.base / "program")}  # fmt: skip
    reply = harnex.agent(
        "w", {"text": "x", "tools": [{"bash": "echo $GIT_DIR > ../seen"}]}, "Done.", run=("--context", "go")
    )
    harnex.ok("wait", "--id", "w", "--until", "task_complete", "--timeout", "30")
    harnex.ok("stop", "--id", "w")
    manifest = json.loads((harnex.state / "runs" / reply["run_id"] / "manifest.json").read_text())
    assert manifest["git"] == {"sha": first, "branch": "main"}
    assert {r["sha"] for r in harnex.events("w", "git")} == {first}
    assert (harnex.base / "seen").read_text().strip() == str(other / ".git"), "the agent has its person's environment"
    assert not mark.exists()

"""Every recipe runs, rehearsed, as a person would run it; each has a page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from .conftest import Harnex

RECIPES = Path(__file__).parents[2] / "recipes"


def run(harnex: Harnex, name: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    copied = harnex.work / f"{name}.sh"
    if not copied.exists():
        assert harnex.ok("recipes", "copy", name).strip() == str(copied)
    env = {**harnex.env, "PATH": path(harnex), **more}
    return subprocess.run(
        [str(copied), *words], env=env, cwd=harnex.work, capture_output=True, text=True, timeout=100, check=False
    )


def path(harnex: Harnex) -> str:
    """Return the PATH with `harnex`, `python3` and the place's own programs (the agent CLIs)."""
    return os.path.dirname(sys.executable) + os.pathsep + harnex.env.get("PATH", os.environ["PATH"])


def task(harnex: Harnex) -> str:
    path = harnex.base / "the täsk.md"
    path.write_text("Please do it.\nThoroughly.\n")
    return str(path)


def test_every_recipe_has_a_page_and_is_listed_and_tested(harnex: Harnex) -> None:
    names = {p.stem for p in RECIPES.glob("*.sh")}
    assert names == {p.stem for p in RECIPES.glob("*.md")}
    listed = harnex.ok("recipes").splitlines()
    assert {line.split()[0] for line in listed} == names
    assert all(len(line.split()) > 4 for line in listed)
    this = Path(__file__).read_text()
    assert all(f'run(harnex, "{name}"' in this or f'"copy", "{name}"' in this for name in names)


def test_one_task(harnex: Harnex) -> None:
    play_one_task(harnex, "demo", "")
    assert harnex.json("status", "--json") == []


def test_one_task_that_fails(harnex: Harnex) -> None:
    script = harnex.script({"error": 400, "times": 30})
    done = run(harnex, "one-task", "demo", task(harnex), "--rehearse", script)
    assert done.returncode == 1
    assert json.loads(done.stdout)["type"] == "turn_failed"


def git(harnex: Harnex, *words: str) -> str:
    words = ("git", "-c", "user.name=A", "-c", "user.email=a@b", *words)
    return subprocess.run(words, cwd=harnex.work, env=harnex.env, capture_output=True, text=True, check=True).stdout


# Each recipe as a person would run it; `tests/real` plays them with the real agent CLIs.


def play_ask_all(harnex: Harnex, cli: str, options: str) -> None:
    script = harnex.script({"text": "An answer."})
    done = run(harnex, "ask-all", task(harnex), cli, HARNEX_RUN_OPTIONS=f"--rehearse {script} {options}")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["last_message"] for line in done.stdout.splitlines()] == ["An answer."]


def play_one_task(harnex: Harnex, cli: str, options: str) -> None:
    script = harnex.script({"text": "a", "tools": [{"bash": "echo x > made.txt"}]}, {"text": "It is done."})
    done = run(harnex, "one-task", cli, task(harnex), "--rehearse", script, *options.split())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["last_message"] == "It is done."
    assert (harnex.work / "made.txt").exists()


def play_chain(harnex: Harnex, clis: tuple[str, ...], options: str) -> None:
    """Play the chain. All three agents get the same script: the plan of one is the review of
    another, and the second answer approves."""
    script = harnex.script("1. Give it a better name.", "APPROVED", "never said")
    done = run(harnex, "chain", task(harnex), *clis, HARNEX_RUN_OPTIONS=f"--rehearse {script} {options}")
    assert (done.returncode, done.stdout) == (0, "APPROVED\n"), done.stderr
    assert "review 1" in done.stderr and "review 2" in done.stderr and "review 3" not in done.stderr
    rows = harnex.json("history", "--json")
    assert sorted((r["id"].split("-")[1], r["turns"]) for r in rows) == [("plan", 1), ("review", 2), ("work", 2)]
    sent = {r["id"].split("-")[1]: harnex.events(r["run_id"], "send") for r in rows}
    assert sent["work"][1]["msg"].startswith("A review found this; fix it:\n\n1. Give it a better name.")


def play_buddy(harnex: Harnex, worker: str, buddy: str, options: str) -> None:
    words = ("run", worker, "--detach", "--id", "fix", "--context", "Name it.", "--rehearse")
    harnex.ok(*words, harnex.script("I call it x.", "I call it radius."), *options.split())
    copied = harnex.ok("recipes", "copy", "buddy").strip()
    script = harnex.script("A better name would tell what it is.", "OK")
    env = {**harnex.env, "PATH": path(harnex), "HARNEX_RUN_OPTIONS": f"--rehearse {script} {options}"}
    process = subprocess.Popen(
        [copied, "fix", buddy], env=env, cwd=harnex.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        harnex.until(
            lambda: [r["last_message"] for r in harnex.events("fix", "task_complete")][1:] == ["I call it radius."],
            40,
            what="the advice is followed",
        )
        harnex.until(lambda: len(buddies(harnex, "task_complete")) == 2, 30, what="the buddy looks again")
        harnex.ok("stop", "--id", "fix")
        out, err = process.communicate(timeout=40)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out) == (0, "1\n"), err
    assert "buddy: OK" in err


def buddies(harnex: Harnex, kind: str) -> list[dict[str, object]]:
    found = [r for r in harnex.json("status", "--json") if r["id"].startswith("buddy-of-")]
    return harnex.events(found[0]["run_id"], kind) if found else []


def play_queue(harnex: Harnex, cli: str, options: str) -> None:
    folder = harnex.base / "the tasks"
    folder.mkdir()
    for n in (1, 2, 3):
        (folder / f"{n} täsk.md").write_text(f"Please do task {n}.\n")
    making = {"text": "Now.", "tools": [{"bash": "echo x > made.txt"}]}
    size = {"usage": {"input_tokens": 1000, "output_tokens": 100}}
    script = harnex.script({"text": "It is made.", **size}, {**making, **size}, {"text": "Mended.", **size})
    verify = "seq 200; test -e made.txt"
    words = (str(folder), cli, "--rehearse", script, *options.split())
    done = run(harnex, "queue", *words, VERIFY=verify, MAX_TOKENS="3000")
    assert done.returncode == 5, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert (rows[0][0], rows[0][2]) == ("done", "1 täsk.md")
    assert all(int(tokens) > 1000 for _, tokens, _ in rows)
    fails = f"verify `{verify}` fails"
    assert f"{fails} (1 of 3)" in done.stderr and f"{fails} (2 of 3)" not in done.stderr
    sent = [r for row in harnex.json("history", "--json") for r in harnex.events(row["run_id"], "send")]
    assert sum("failed (exit code 1)" in r["msg"] for r in sent) == 1
    assert (folder / "3 täsk.md").exists()
    done = run(harnex, "queue", *words, "--max-nonsense")
    assert done.returncode == 2 and (folder / "3 täsk.md").exists(), "what can't be started moves nothing"
    done = run(harnex, "queue", *words, VERIFY="test -e nothing", TRIES="1")
    assert done.returncode == 1, done.stderr
    assert (
        sorted(p.name for p in folder.glob("failed/*")) == [f"{n} täsk.md" for n in (2, 3)][2 - (4 - len(rows) - 1) :]
    )
    assert "<!DOCTYPE html>" in (folder / "report.html").read_text()
    assert list(folder.glob("*.md")) == []


def play_worktrees(harnex: Harnex, cli: str, options: str) -> None:
    (harnex.work / ".git").rmdir()
    git(harnex, "init", "-q")
    git(harnex, "commit", "-q", "--allow-empty", "-m", "first")
    files = [harnex.base / "fix the login.md", harnex.base / "faster.md"]
    for file in files:
        file.write_text("Please do it.\n")
    commit = "echo x > made.txt; git add made.txt; git -c user.name=A -c user.email=a@b commit -q -m made"
    script = harnex.script({"text": "a", "tools": [{"bash": commit}]}, "Done.")
    done = run(harnex, "worktrees", cli, *map(str, files), "--", "--rehearse", script, *options.split())
    assert done.returncode == 0, done.stderr
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["done", f"task/{name}", "1 commits", ""] for name in ("fix-the-login", "faster")
    ]
    assert git(harnex, "worktree", "list").count("\n") == 1
    assert git(harnex, "show", "task/faster:made.txt") == "x\n"


def play_ci(harnex: Harnex, cli: str, options: str) -> None:
    script = harnex.script({"text": "a", "tools": [{"bash": "echo x > made.txt"}]}, "It is done.")
    done = run(harnex, "ci", cli, task(harnex), "--rehearse", script, *options.split(), MY_API_KEY="planted-secret-93")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["last_message"] == "It is done."
    out = harnex.work / "harnex-artifacts"
    assert sorted(p.name for p in out.iterdir()) == ["events.jsonl", "history.json", "log.txt", "report.html"]
    assert [r["reason"] for r in json.loads((out / "history.json").read_text())] == ["stopped"]
    assert json.loads((out / "events.jsonl").read_text().splitlines()[-1])["type"] == "exited"
    assert all("planted-secret" not in p.read_text() for p in out.iterdir())


def test_ask_all(harnex: Harnex) -> None:
    play_ask_all(harnex, "demo", "")


def test_chain(harnex: Harnex) -> None:
    play_chain(harnex, ("demo",), "")


def test_chain_is_not_approved(harnex: Harnex) -> None:
    script = harnex.script(*["Still wrong."] * 5)
    done = run(harnex, "chain", task(harnex), "demo", HARNEX_RUN_OPTIONS=f"--rehearse {script}", ROUNDS="2")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "not approved")


def test_buddy(harnex: Harnex) -> None:
    play_buddy(harnex, "demo", "demo", "")


def test_queue(harnex: Harnex) -> None:
    play_queue(harnex, "demo", "")


def test_a_queue_whose_budget_ends_in_the_middle_of_a_task(harnex: Harnex) -> None:
    """The task is cut off there, and its file stays in place."""
    folder = harnex.base / "tasks"
    folder.mkdir()
    (folder / "1.md").write_text("Please do it.\n")
    script = harnex.script(*[{"tools": [{"bash": f"echo {n}; sleep 1"}]} for n in range(20)])
    done = run(harnex, "queue", str(folder), "demo", "--rehearse", script, MAX_TOKENS="2500")
    assert (done.returncode, done.stdout) == (5, ""), done.stderr
    assert "the budget is used up in the middle of" in done.stderr and (folder / "1.md").exists()
    (row,) = harnex.json("history", "--json")
    assert (row["exit"], row["reason"]) == (5, "budget") and 2500 <= row["tokens"] < 6000


def test_worktrees(harnex: Harnex) -> None:
    play_worktrees(harnex, "demo", "")


def test_ci(harnex: Harnex) -> None:
    play_ci(harnex, "demo", "")


def test_ci_that_is_cancelled_leaves_the_artifacts_and_nothing_else(harnex: Harnex) -> None:
    copied = harnex.ok("recipes", "copy", "ci").strip()
    script = harnex.script({"hang": 60})
    log = harnex.base / "job.truth"
    process = subprocess.Popen(
        [copied, "demo", task(harnex), "--rehearse", script, "--", "--log", str(log)], cwd=harnex.work,
        env={**harnex.env, "PATH": path(harnex)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    harnex.until(lambda: log.exists() and '"busy"' in log.read_text(), what="it works")
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=40)
    assert process.returncode == 143
    (row,) = json.loads((harnex.work / "harnex-artifacts" / "history.json").read_text())
    assert row["reason"] == "stopped"
    harnex.until(lambda: not harnex.marked(), what="nothing is left")


def play_fire_and_watch(harnex: Harnex, cli: str, options: str) -> None:
    """The check fails once: the agent hears of the failure, and mends it."""
    script = harnex.script("Done, I think.", {"text": "Now.", "tools": [{"bash": "echo x > made.txt"}]}, "It is done.")
    words = ("--rehearse", script, "--verify", "test -e made.txt", *options.split())
    done = run(harnex, "fire-and-watch", cli, task(harnex), *words)
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout)
    assert totals["calls"] == 3
    (row,) = harnex.json("history", "--json")
    checks = [(r["kind"], r["ok"]) for r in harnex.events(row["id"], "verify")]
    assert checks == [("verify", False), ("verify", True)]
    assert (row["turns"], row["exit"]) == (2, 0)
    assert "<html" in (harnex.work / f"{row['id']}.html").read_text()


def test_fire_and_watch(harnex: Harnex) -> None:
    play_fire_and_watch(harnex, "demo", "")


def test_fire_and_watch_tells_what_could_not_be_done(harnex: Harnex) -> None:
    script = harnex.script({"text": "Done."})
    words = ("--rehearse", script, "--verify", "false", "--verify-max", "1")
    done = run(harnex, "fire-and-watch", "demo", task(harnex), *words)
    assert done.returncode == 1, done.stderr
    assert harnex.json("history", "--json")[0]["exit"] == 1

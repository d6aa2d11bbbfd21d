"""No secret in any file, leased credentials gone however the run ends,
and a record of every run."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.e2e.conftest import Harnex

ALNUM = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU0vW1xY"

# ---- no secret in any file ----

# Secrets that are known by the names of their variables: they have no shape of their own.
KNOWN = {
    "ACME_API_KEY": "zebra7LanternQuartz42Meadow9Violet",
    "ACME_DB_PASSWORD": 'pä"ss/wörd+1\\xyz%20&=',
    "ACME_TOKEN": "correct-Horse7-Battery-Staple-Z9",
    "DATABASE_URL": "postgres://app:dbPass7word9Unique@db.example/main",
    "ODD_NAME": "known-By-Config-77-alpha-omega",
}
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAqPfgaTEWEP3S9w0tgsicURfo+nLW09/0KfiPinhYZ4ouU+1xC4\n"
    "pSlEp8Ut9FgL0AgqNslNaK34Kq+NZjO9DAQIDAQABAoIBAFSVvz8J1b2bqRGXG5ajsm\n-----END RSA PRIVATE KEY-----"
)
# Secrets that are known by their shape, whoever uses them.
SHAPED = {
    "anthropic": "sk-ant-api03-" + ALNUM + ALNUM[::-1],
    "anthropic-oauth": "sk-ant-oat01-" + ALNUM[::-1] + "q7",
    "openai": "sk-proj-" + ALNUM[5:] + "T3BlbkFJ" + ALNUM[:20],
    "openai-old": "sk-" + (ALNUM * 2)[3:51],
    "aws": "AKIAZ7QJ5XK3M2N4P6R8",
    "github": "ghp_" + (ALNUM * 2)[:36],
    "github-fine": "github_pat_11ABCDEFG0" + ALNUM + "_" + ALNUM,
    "gitlab": "glpat-" + ALNUM[:20],
    "google": "AIzaSy" + (ALNUM * 2)[7:40],
    "slack": "xoxb-123456789012-" + ALNUM[:24],
    "npm": "npm_" + (ALNUM * 2)[9:45],
    "huggingface": "hf_" + (ALNUM * 2)[2:36],
    "stripe": "sk_live_" + ALNUM[:26],
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "bearer": "mF9qB5f4JqM1tKz8Lw3xYv7u",
    "url": "Tr0ub4dorAnd3Url",
    "header": "hdr9Key8Value7Unique6",
    "label": "Lab3lledValue9Zq",
}
PLANTED = {**KNOWN, **SHAPED, "pem": PEM.splitlines()[1]}
PLANTED["DATABASE_URL"] = "dbPass7word9Unique"
WINDOW = 12


def coats(secret: str) -> dict[str, str]:
    """Return one secret in many forms, as programs print them."""
    raw = secret.encode()
    return {
        "plain": secret,
        "json": json.dumps({"v": secret}),
        "json twice": json.dumps(json.dumps({"v": secret})),
        "unicode escapes": "".join(f"\\u{ord(c):04x}" for c in secret),
        "percent": quote(secret, safe=""),
        "percent all": "".join(f"%{b:02x}" for b in raw),
        "base64": base64.b64encode(raw).decode(),
        "base64 inside": base64.b64encode(b"user:" + raw + b":more").decode(),
        "base64url": base64.urlsafe_b64encode(b"x" + raw).decode(),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "json key": json.dumps({secret: 1}),
        "quoted": f"'{secret}'",
        "assignment": f"export SOME_VALUE={quote(secret)}",
    }


def texts_in(data: bytes) -> Iterator[str]:
    """Return what a file says, raw and decoded in every way that the planting used, but not by
    the product's own decoder."""
    text = data.decode("utf-8", "replace")
    plain = re.sub(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07", "", text.replace("\\u001b", "\x1b"))
    layers = [text, plain, "".join(plain.replace("\\n", "").split())]
    for _ in range(3):
        more = []
        for layer in layers[-6:]:
            more.append(re.sub(r"\\+u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), layer))
            more.append(re.sub(r"\\+([\"\\/])", r"\1", layer))
            more.append(unquote(layer))
        layers += [m for m in more if m not in layers]
    yield from layers
    for layer in layers:
        for run in set(re.findall(r"[A-Za-z0-9+/_-]{14,}", layer)):
            if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", run):
                yield bytes.fromhex(run).decode("utf-8", "replace")
            for shift in range(4):
                body = run[shift:].replace("-", "+").replace("_", "/")
                body = body[: len(body) // 4 * 4]
                yield base64.b64decode(body).decode("utf-8", "replace")


def found_in(data: bytes, secrets: dict[str, str] = PLANTED) -> list[str]:
    """Return which secrets the text holds: any twelve characters in a row of one count."""
    pieces = {
        name: [s[i : i + WINDOW] for i in range(len(s) - WINDOW + 1)]
        for name, s in ((name, re.sub(r"^(sk-ant-\w+-|github_pat_|eyJhbGciOiJIUzI1NiJ9\.)", "", s)) for name, s in secrets.items())
    }  # fmt: skip
    found = set()
    for text in texts_in(data):
        for name, parts in pieces.items():
            if name not in found:
                found.update(
                    {f"{name}: {part}" for part in parts[:1] if part in text}
                    or {name for part in parts if part in text}
                )
    return sorted(found)


def leaks(directory: Path, secrets: dict[str, str] = PLANTED) -> list[str]:
    out = []
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = str(path.relative_to(directory))
            out += [f"{name}: {what}" for what in found_in(path.read_bytes() + b"\n" + name.encode(), secrets)]
    return out


def environment(harnex: Harnex) -> None:
    harnex.env |= {**KNOWN, "ACME_PRIVATE_KEY": PEM}
    config = Path(harnex.env["HOME"]) / ".config" / "harnex"
    config.mkdir(parents=True)
    (config / "config.toml").write_text('[redact]\nnames = ["ODD_*"]\npatterns = ["TICKET-[0-9]{5}-[A-Z]{6}"]\n')


def printed() -> list[str]:
    """Return what the agent prints: every secret in some forms, and those
    that need words around them."""
    lines = []
    for number, (name, secret) in enumerate(PLANTED.items()):
        if name in ("bearer", "url", "header", "label", "pem"):
            continue
        forms = list(coats(secret).values())
        lines += [forms[(number + k) % len(forms)] for k in range(0, len(forms), 3)] + [f"the {name} is {secret}."]
    lines += [
        f"Authorization: Bearer {SHAPED['bearer']}",
        f"curl https://bob:{SHAPED['url']}@git.example/x.git",
        f'{{"headers": {{"x-api-key": "{SHAPED["header"]}"}}}}',
        f"api_key = '{SHAPED['label']}'",
        PEM,
    ]
    return lines


def test_planted_secrets_are_in_no_file(harnex: Harnex) -> None:
    environment(harnex)
    assert len(found_in("\n".join(printed()).encode())) >= 20, "the search itself must find them"
    colours = "".join(f"\\033[3{i % 7 + 1}m{c}" for i, c in enumerate(SHAPED["github"]))
    key = SHAPED["anthropic"]
    calls: list[Any] = [
        {"text": "\n\n".join(printed()[i : i + 12]), "pause": 0.001} for i in range(0, len(printed()), 12)
    ]
    calls += [
        {"tools": [{"bash": f"printf '{colours}\\n'; echo {KNOWN['ACME_API_KEY']}; echo {SHAPED['aws']} >&2"}], "text": "a"},
        {"tools": [{"bash": f"MY_SECRET={SHAPED['stripe']} true --password {KNOWN['ACME_TOKEN']}"}], "text": "b"},
        {"error": 400, "message": f"invalid key {key} (also {KNOWN['ACME_TOKEN']})"},
        {"text": f"typed slowly: {key} and TICKET-12345-ABCDEF, end", "pause": 0.05},
    ]  # fmt: skip
    place = harnex.base / f"work {SHAPED['npm']}"
    place.mkdir()
    meta = {"note": KNOWN["ACME_API_KEY"], SHAPED["gitlab"]: 1, "deep": [{"k": coats(SHAPED["google"])["base64"]}]}
    harnex.agent(
        "planted",
        *calls,
        run=(
            "--context", f"the context has {KNOWN['ACME_TOKEN']} and {SHAPED['slack']}", "--meta", json.dumps(meta),
            "--description", f"with {SHAPED['openai']}", "--env", f"EXTRA_TOKEN={SHAPED['huggingface']}", "--size", "60x20",
            "--cwd", str(place), "--summary-out", str(harnex.state / "summary.json"),
        ),
    )  # fmt: skip
    harnex.ok("wait", "--id", "planted", "--until", "task_complete", "--timeout", "30")
    count = len(calls)
    for number in range(1, count):
        # Cut at 200 characters.
        said = "x" * 170 + f" again {KNOWN['ACME_API_KEY']} {number} {SHAPED['github']}"
        harnex.run("send", "--id", "planted", "--message", said, "--wait-for-idle", "--timeout", "30")
    harnex.ok("stop", "--id", "planted")
    run_dir = next((harnex.state / "runs").iterdir())
    assert "typed slowly" in harnex.ok("logs", "--id", "planted"), "the agent did print"
    assert leaks(harnex.state) == []
    assert "TICKET-12345" not in "".join(p.read_text(errors="replace") for p in run_dir.rglob("*") if p.is_file())
    manifest = json.loads((run_dir / "manifest.json").read_text())
    row = harnex.json("history", "--json", "--all")[-1]
    assert row["redacted"] == manifest["redacted"] > 50
    for path in run_dir.rglob("*.jsonl"):
        for line in path.read_text().splitlines():
            json.loads(line)  # redacting a secret breaks no row


def test_a_boot_failure_tells_no_secret(harnex: Harnex) -> None:
    environment(harnex)
    script = f"echo cannot use {KNOWN['ACME_API_KEY']} or {SHAPED['openai']}; exit 3"
    done = harnex.run("run", "sh", "--detach", "--id", "boot", "--", "-c", script, "--token", KNOWN["ACME_TOKEN"])
    assert done.returncode == 1
    assert found_in(done.stdout.encode()) == []
    assert leaks(harnex.state) == []
    assert "cannot use [redacted]" in harnex.json("history", "--json", "--all")[-1]["message"]


def test_evidence_is_covered_while_the_session_lives_and_after_a_crash(harnex: Harnex) -> None:
    environment(harnex)
    key = SHAPED["anthropic"]
    reply = harnex.agent("crash", {"text": f"a key: {key}"}, {"text": f"again {KNOWN['ACME_API_KEY']}", "pause": 0.4})
    harnex.ok("send", "--id", "crash", "--message", f"use {KNOWN['ACME_TOKEN']}", "--wait-for-idle", "--timeout", "30")
    evidence = harnex.state / "runs" / reply["run_id"] / "evidence" / "agent.jsonl"
    harnex.until(lambda: "[redacted]" in evidence.read_text() and not found_in(evidence.read_bytes()), what="covered")
    harnex.ok("send", "--id", "crash", "--message", "more", "--no-wait")
    harnex.until(lambda: harnex.json("status", "--json")[0]["state"] == "busy")
    os.kill(reply["supervisor_pid"], signal.SIGKILL)
    with evidence.open("a") as f:
        f.write(json.dumps({"event": "late", "text": f"{key} {KNOWN['ACME_API_KEY']}"}) + "\n")
    harnex.ok("status", "--json")
    assert leaks(harnex.state) == []
    assert harnex.json("history", "--json")[-1]["reason"] == "supervisor_lost"


def test_a_bug_report_tells_no_secret(harnex: Harnex) -> None:
    environment(harnex)
    (harnex.work / "boom").mkdir()
    harnex.customize(
        "import harnex.commands.history as h\n"
        f"def bad(*a, **k): raise ValueError('broken by {SHAPED['openai']} and {KNOWN['ACME_TOKEN']}')\n"
        "h.mend = bad\n"
    )
    done = harnex.run("history", "--id", f"key={SHAPED['github']}")
    assert done.returncode == 3, done.stderr
    report = next((harnex.state / "reports").iterdir())
    assert "ValueError" in report.read_text()
    assert leaks(harnex.state) == []


def test_rules_of_the_configuration_are_checked(harnex: Harnex) -> None:
    rules = harnex.work / ".harnex.toml"
    for text, words in (
        ('[redact]\npatterns = ["a(b"]\n', "not a regular expression"),
        ('[redact]\npatterns = ["(a+)+$"]\n', "run for ever"),
        ('[redact]\npatterns = ["(a|a)*b"]\n', "run for ever"),
        (
            '[redact]\npatterns = ["ACME-[0-9]+", "id-(?:[0-9a-f]+-?)+z"]\n',
            "patterns[1] 'id-(?:[0-9a-f]+-?)+z': it can run",
        ),
        ('[redact]\npatterns = [".*"]\n', "ordinary text"),
        ('[redact]\nnames = "X"\n', "not a list of texts"),
        ('[redact]\nname = ["X"]\n', "unknown key 'name'"),
    ):
        rules.write_text(text)
        done = harnex.run("run", "cat", "--detach", "--id", "c")
        assert (done.returncode, json.loads(done.stdout)["ok"]) == (2, False)
        assert words in done.stderr and str(rules) in done.stderr, done.stderr


def test_a_pattern_that_is_slow_after_all_holds_nothing_up(harnex: Harnex) -> None:
    """A text on which the pattern was given up is covered as a whole,
    and one diagnostic says so."""
    (harnex.work / ".harnex.toml").write_text('[redact]\npatterns = ["(?:x|xx)+(?:$|!|\\\\0)"]\n')
    script = "while read n; do echo \"$n: $(printf 'x%.0s' $(seq 60))?\"; done"
    harnex.ok("run", "sh", "--detach", "--id", "slow", "--", "-c", script)
    for n in range(5):
        harnex.ok("send", "--id", "slow", "--message", f"line {n}", "--force", "--no-wait")
    harnex.until(lambda: harnex.events("slow", "diagnostic"), what="it is told")
    harnex.ok("stop", "--id", "slow")
    told = [e["what"] for e in harnex.events("slow", "diagnostic") if "took too long" in e["what"]]
    assert len(told) == 1 and "(?:x|xx)+" in told[0]
    assert leaks(harnex.state, {"x": "x" * 30}) == []


# ---- leased credentials ----

KEY = "sk-ant-api03-" + "Lease7Key9" * 6


def lease_of(harnex: Harnex, reply: dict[str, Any]) -> Path:
    return Path(harnex.state / "runs" / reply["run_id"] / "lease")


def leased(harnex: Harnex, session_id: str, *calls: Any, run: tuple[str, ...] = (), tui: tuple[str, ...] = ()) -> Any:
    harnex.env["WORK_KEY"] = KEY
    return harnex.agent(session_id, *calls, run=("--credential-env", "WORK_KEY", *run), tui=tui)


def test_a_leased_credential_is_private_and_used(harnex: Harnex) -> None:
    import hashlib

    reply = leased(harnex, "l", {"tools": [{"bash": "env; cat $HARNEX_DEMO_KEY_FILE"}], "text": "x"}, {"text": "done"})
    home = lease_of(harnex, reply)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "credential").stat().st_mode) == 0o600
    assert KEY not in " ".join(" ".join(p.cmdline()) for p in harnex.marked())
    harnex.ok("send", "--id", "l", "--message", "go", "--wait-for-idle", "--timeout", "30")
    log = home.parent / "rehearsal.jsonl"
    requests = [json.loads(line) for line in log.read_text().splitlines()]
    seen = {(r["auth"], r["key_sha256"]) for r in requests if r["event"] == "request"}
    assert seen == {("x-api-key", hashlib.sha256(KEY.encode()).hexdigest())}
    (home / "conversations").mkdir()
    (home / "conversations" / "log.jsonl").write_text(json.dumps({"said": KEY}) + "\n")
    (home / "cache").mkdir()
    (home / "cache" / "copy").write_text(KEY)
    harnex.ok("stop", "--id", "l")
    assert [p.name for p in home.rglob("*")] == ["conversations", "log.jsonl"]
    assert leaks(harnex.state, {"key": KEY}) == []


def kill_supervisor(harnex: Harnex, reply: dict[str, Any]) -> None:
    os.kill(reply["supervisor_pid"], signal.SIGKILL)
    harnex.ok("status", "--json")


def end_by_timeout(harnex: Harnex, reply: dict[str, Any]) -> None:
    harnex.ok("wait", "--id", reply["id"], "--until", "exited", "--timeout", "30")


ENDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Harnex, dict[str, Any]], Any]]] = {
    "stop": ((), (), lambda h, r: h.ok("stop", "--id", r["id"])),
    "force": ((), (), lambda h, r: h.ok("stop", "--force", "--id", r["id"])),
    "timeout": (("--timeout", "1"), (), end_by_timeout),
    "exit": ((), ("--crash-after", "1"), end_by_timeout),
    "killed agent": ((), (), lambda h, r: (os.kill(r["pid"], signal.SIGKILL), end_by_timeout(h, r))),
    "killed supervisor": ((), (), kill_supervisor),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_lease_is_gone_however_it_ends(harnex: Harnex, how: str) -> None:
    run, tui, end = ENDS[how]
    reply = leased(harnex, "l", run=run, tui=tui)
    home = lease_of(harnex, reply)
    assert how == "exit" or home.exists()
    end(harnex, reply)
    assert not home.exists()
    assert leaks(harnex.state, {"key": KEY}) == []
    assert len(harnex.json("history", "--json")) == 1


def test_the_lease_is_gone_after_a_failed_start(harnex: Harnex) -> None:
    harnex.env["WORK_KEY"] = KEY
    done = harnex.run(
        "run", "demo", "--detach", "--id", "l", "--credential-env", "WORK_KEY", "--", "--no-such-flag", timeout=40
    )
    assert done.returncode == 1
    assert list((harnex.state / "runs").glob("*/lease")) == []
    assert leaks(harnex.state, {"key": KEY}) == []


def test_a_lease_of_a_duplicate_is_never_written(harnex: Harnex) -> None:
    leased(harnex, "l")
    done = harnex.run("run", "demo", "--detach", "--id", "l", "--credential-env", "WORK_KEY")
    assert done.returncode == 1 and "already running" in done.stderr
    assert len(list((harnex.state / "runs").glob("*/lease"))) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--credential-env", "NOT_SET"), "is not set"),
        (("--credential-env", "A=B"), "the name of a variable"),
        (("--credential-file", "/no/such"), "can't read"),
        (("--credential-file", "/dev/null"), "is empty"),
        (("--credential-file", "x", "--credential-env", "y"), "contradict"),
    ],
)
def test_a_bad_credential_is_refused(harnex: Harnex, words: tuple[str, ...], said: str) -> None:
    done = harnex.run("run", "demo", "--detach", *words)
    assert done.returncode == 2 and said in done.stderr
    assert not (harnex.state / "runs").exists() or list((harnex.state / "runs").iterdir()) == []


def test_a_program_without_a_lease_says_so(harnex: Harnex) -> None:
    harnex.env["WORK_KEY"] = KEY
    done = harnex.run("run", "cat", "--detach", "--credential-env", "WORK_KEY")
    assert done.returncode == 2 and "can't be given a leased credential" in done.stderr
    assert list((harnex.state / "runs").iterdir()) == []


# ---- the dispatch record ----


def git(where: Path, *words: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"HOME": str(where.parent)}
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *words], cwd=where, env=env, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def repository(harnex: Harnex) -> None:
    (harnex.work / ".git").rmdir()
    git(harnex.work, "init", "-q", "-b", "main")
    (harnex.work / "a.txt").write_text("one\ntwo\n")
    git(harnex.work, "add", "-A")
    git(harnex.work, "commit", "-qm", "first")


COMMIT = (
    "printf 'one\\nthree\\nfour\\n' > a.txt && git -c user.name=t -c user.email=t@example.org commit -qam second "
    "&& echo new > untracked.txt && echo five >> a.txt"
)


def test_the_record_has_git_tokens_and_what_was_predicted(harnex: Harnex) -> None:
    repository(harnex)
    before = git(harnex.work, "rev-parse", "HEAD")
    out = harnex.base / "süm mary.json"
    out.write_text("old")
    meta = json.dumps({"predicted": {"calls": 2, "minutes": 3}, "issue": 7})
    harnex.agent(
        "g",
        {"tools": [{"bash": COMMIT}], "text": "work"},
        {"text": "done"},
        run=("--meta", meta, "--summary-out", str(out)),
    )
    harnex.until(lambda: harnex.events("g", "git"), what="the git event of the start")
    harnex.ok("send", "--id", "g", "--message", "go", "--wait-for-idle", "--timeout", "30")
    harnex.ok("stop", "--id", "g")
    start, end = harnex.events("g", "git")
    after = git(harnex.work, "rev-parse", "HEAD")
    assert (start["phase"], start["sha"], start["branch"], start["dirty"]) == ("start", before, "main", False)
    assert (end["phase"], end["sha"], end["commits"], end["files_changed"]) == ("end", after, 1, 1)
    assert (end["loc_added"], end["loc_removed"], end["rewritten"]) == (2, 1, False)
    assert (end["dirty"], end["dirty_files"], end["dirty_added"], end["dirty_removed"]) == (True, 2, 1, 0)
    row = harnex.json("history", "--json")[-1]
    assert json.loads(out.read_text()) == row
    assert row["predicted"] == {"calls": 2, "minutes": 3}
    assert (row["git"]["start_sha"], row["git"]["end_sha"], row["git"]["commits"]) == (before, after, 1)
    actual = row["actual"]
    assert (actual["calls"], actual["turns"], actual["commits"], actual["loc_added"]) == (2, 1, 1, 2)
    assert (actual["exit"], actual["reason"], actual["nudges"], actual["restarts"]) == (0, "stopped", 0, 0)
    assert actual["tokens"]["total_tokens"] == row["tokens"] > 0
    assert [e["type"] for e in harnex.events("g")][-2:] == ["summary", "exited"]
    assert harnex.events("g", "summary")[0]["path"] == str(out)
    assert list(harnex.base.glob("*.tmp")) == []


def test_a_crash_has_its_record_and_summary(harnex: Harnex) -> None:
    repository(harnex)
    out = harnex.base / "summary.json"
    calls = ({"tools": [{"bash": COMMIT}], "text": "work"}, {"text": "done"}, {"hang": 60})
    reply = harnex.agent("g", *calls, run=("--summary-out", str(out)))
    harnex.until(lambda: harnex.events("g", "git"), what="the git event of the start")
    harnex.ok("send", "--id", "g", "--message", "go", "--wait-for-idle", "--timeout", "30")
    os.kill(reply["supervisor_pid"], signal.SIGKILL)
    harnex.ok("status", "--json")
    row = json.loads(out.read_text())
    assert (row["reason"], row["exit"]) == ("supervisor_lost", 1)
    assert (row["actual"]["calls"], row["actual"]["commits"], row["git"]["loc_added"]) == (2, 1, 2)
    assert harnex.json("history", "--json")[-1] == row
    assert [e["type"] for e in harnex.events("g")][-3:] == ["git", "summary", "exited"]


def test_a_boot_failure_has_its_record_and_summary(harnex: Harnex) -> None:
    out = harnex.base / "summary.json"
    assert harnex.run("run", "sh", "--detach", "--summary-out", str(out), "--", "-c", "exit 3").returncode == 1
    row = json.loads(out.read_text())
    assert (row["reason"], row["actual"]["calls"], row["git"]) == ("boot_failure", None, None)


def test_a_summary_that_cannot_be_written_loses_nothing(harnex: Harnex) -> None:
    where = harnex.base / "gone"
    where.mkdir()
    harnex.agent("s", run=("--summary-out", str(where / "s.json")))
    where.rmdir()
    harnex.ok("stop", "--id", "s")
    assert harnex.events("s", "summary")[0]["path"] is None
    assert any("could not write the summary" in e["what"] for e in harnex.events("s", "diagnostic"))
    assert harnex.json("history", "--json")[-1]["reason"] == "stopped"


def test_a_summary_goes_where_it_is_wanted(harnex: Harnex) -> None:
    """Through a link and into a FIFO; neither is replaced."""
    (harnex.base / "link.json").symlink_to("target.json")
    harnex.agent("l", run=("--summary-out", str(harnex.base / "link.json")))
    harnex.ok("stop", "--id", "l")
    assert (harnex.base / "link.json").is_symlink()
    assert json.loads((harnex.base / "target.json").read_text())["reason"] == "stopped"
    fifo = harnex.base / "fifo"
    os.mkfifo(fifo)
    reply = harnex.agent("f", run=("--summary-out", str(fifo)))
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as reader:
        harnex.ok("stop", "--id", "f")
        assert json.loads(reader.communicate(timeout=20)[0])["run_id"] == reply["run_id"]
    assert fifo.is_fifo() and harnex.events("f", "summary")[0]["path"] == str(fifo)
    harnex.agent("n", run=("--summary-out", str(fifo)))  # nobody reads
    harnex.ok("stop", "--id", "n")
    assert any("nobody reads this FIFO" in e["what"] for e in harnex.events("n", "diagnostic"))
    assert fifo.is_fifo() and harnex.json("history", "--json")[-1]["reason"] == "stopped"


def test_pages_and_drawings_go_where_they_are_wanted(harnex: Harnex) -> None:
    harnex.agent("p")
    fifo = harnex.base / "fifo"
    os.mkfifo(fifo)
    (harnex.base / "link").symlink_to("page")
    for words in (("report", "--id", "p", "-o"), ("pane", "--id", "p", "--svg")):
        with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as reader:
            harnex.ok(*words, str(fifo))
            assert b"<svg" in reader.communicate(timeout=20)[0]
        harnex.ok(*words, str(harnex.base / "link"))
        assert fifo.is_fifo() and (harnex.base / "link").is_symlink() and "<svg" in (harnex.base / "page").read_text()
        assert "<svg" in harnex.ok(*words, "/dev/stdout")
    harnex.ok("stop", "--id", "p")


@pytest.mark.parametrize("path", ["/no/such/dir/x.json", ".", "/dev/stdout"])
def test_a_bad_summary_path_is_refused_at_the_start(harnex: Harnex, path: str) -> None:
    done = harnex.run("run", "cat", "--detach", "--summary-out", path)
    assert done.returncode == 2 and "--summary-out" in done.stderr

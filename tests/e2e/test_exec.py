"""`harnex exec` with a scripted program in Claude Code's place: what harnex itself does with any
output that comes by pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Harnex

SECRET = "hunter2hunter2hunter2"
INIT = {"type": "system", "subtype": "init", "session_id": "5e55-1", "model": "x", "cwd": "/w"}
FAKE = f"""#!{sys.executable}
import json, os, signal, subprocess, sys, time
INIT = {INIT!r}
def row(**fields):
    print(json.dumps(fields), flush=True)
def begin():
    print(json.dumps(INIT), flush=True)
def answer(text, **more):
    row(type="assistant", message={{"id": "m1", "model": "x", "content": [{{"type": "text", "text": text}}]}})
    row(type="result", subtype="success", is_error=False, result=text, **more)
prompt = sys.stdin.read()
"""


class Fake:
    """A program called `claude` that does what its body says. harnex
    takes it for version 2.1.329."""

    def __init__(self, place: Harnex, body: str) -> None:
        self.place = place
        folder = place.base / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / "claude"
        path.write_text(FAKE + body)
        path.chmod(0o755)
        place.env["PATH"] = f"{folder}:{os.environ['PATH']}"
        place.env["MY_API_KEY"] = SECRET
        self.words = ("exec", "claude", "--cli-version", "2.1.329")

    def run(self, *words: str, prompt: str = "go", **options: Any) -> subprocess.CompletedProcess[str]:
        return self.place.run(*self.words, "-", *words, input=prompt, **options)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self.place.start(*self.words, "go", *words)

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        path = next(iter(self.place.state.glob("runs/*/events.jsonl")))
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [row for row in rows if not kinds or row["type"] in kinds]

    def files(self) -> dict[str, str]:
        """Return everything that the run left."""
        found = [p for p in self.place.state.rglob("*") if p.is_file()]
        return {str(p.relative_to(self.place.state)): p.read_text(errors="replace") for p in found}


def test_the_prompt_arrives_whole_on_standard_input_and_nowhere_else(harnex: Harnex) -> None:
    fake = Fake(harnex, "begin()\nanswer(json.dumps([prompt, sys.argv[1:]]))")
    prompt = "/help me\n\t'Ümläut' \u2028 and\n" * 20_000
    done = fake.run("--context-file", _write(harnex.base / "first one.txt", "CONTEXT\n"), prompt=prompt)
    assert (done.returncode, "\n".join(done.stderr.splitlines()[1:])) == (0, "")
    got, argv = json.loads(done.stdout)
    assert got == "CONTEXT\n\n" + prompt
    assert not any("Ümläut" in word for word in argv)
    assert "Ümläut" not in next(text for name, text in fake.files().items() if name.endswith("manifest.json"))


def test_no_secret_in_any_file(harnex: Harnex) -> None:
    body = (
        "begin()\n"
        f"print('warning: key {SECRET} is old', file=sys.stderr, flush=True)\n"
        f"print('no json: {SECRET}', flush=True)\n"
        f"text = json.dumps({{'type': 'user', 'message': {{'content': [{{'type': 'text', 'text': '{SECRET}'}}]}}}}) + '\\n'\n"
        "for piece in (text[:60], text[60:]):\n"
        "    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.1)\n"
        f"answer('it is {SECRET}')\n"
    )
    fake = Fake(harnex, body)
    done = fake.run(prompt=f"the key is {SECRET}")
    assert (done.returncode, done.stdout) == (0, "it is [redacted]\n")
    for name, text in fake.files().items():
        assert SECRET not in text, name
        assert SECRET[:12] not in text, name
    kept = [text for name, text in fake.files().items() if name.endswith(("stream.jsonl", "stderr.txt"))]
    assert len(kept) == 2
    assert all("[redacted]" in text for text in kept)
    assert harnex.json("history", "--json")[0]["redacted"] >= 4


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ("print('cannot read settings', file=sys.stderr); sys.exit(3)", "boot_failure", "cannot read settings"),
        ("sys.exit(0)", "boot_failure", "said nothing"),
        ("begin(); sys.exit(0)", "failure", "in the middle of the turn"),
        ("begin(); print('out of memory', file=sys.stderr); sys.exit(9)", "failure", "out of memory"),
        ("begin(); answer('all'); sys.exit(7)", "failure", "code 7"),
        ("begin(); row(type='result', subtype='error_max_turns', is_error=False)", "failure", "max turns"),
        ("begin(); os.kill(os.getpid(), 11)", "killed", "SIGSEGV"),
    ],
)
def test_every_bad_end_is_exit_code_1_with_its_words(harnex: Harnex, body: str, reason: str, words: str) -> None:
    """Above all: an agent that ends with code 0 and without a result did not succeed."""
    fake = Fake(harnex, body)
    done = fake.run()
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert words in done.stderr
    (exited,) = fake.events("exited")
    assert exited["reason"] == reason
    (row,) = harnex.json("history", "--json")
    assert (row["reason"], row["exit"]) == (reason, 1)


def test_a_run_that_does_not_start_has_its_events_on_stdout_too(harnex: Harnex) -> None:
    done = Fake(harnex, "sys.exit(3)").run("--json")
    assert done.returncode == 1
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()][-1] == "exited"


def test_a_tool_that_holds_the_pipes_open_holds_nothing_up_and_is_swept(harnex: Harnex) -> None:
    body = "begin(); subprocess.Popen(['sleep', '300'], start_new_session=True); answer('done')"
    fake = Fake(harnex, body)
    assert fake.run(timeout=20).stdout == "done\n"
    assert harnex.running("sleep 300") == []
    assert harnex.json("history", "--json")[0]["swept"] == 1


def test_two_stops_are_the_end_of_one_that_does_not_listen(harnex: Harnex) -> None:
    body = "[signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; begin(); time.sleep(300)"
    fake = Fake(harnex, body)
    command = fake.start("--id", "deaf")
    harnex.until(lambda: harnex.state.exists() and [r for r in harnex.json("status", "--json") if r["state"] == "busy"])
    command.send_signal(signal.SIGINT)
    harnex.until(lambda: harnex.json("status", "--json")[0]["state"] == "stopping")
    command.send_signal(signal.SIGTERM)
    out, err = command.communicate(timeout=10)
    assert (command.returncode, out) == (130, "")
    assert "again: at once" in err
    assert fake.events("exited")[0]["reason"] == "stopped"


def test_the_terminal_goes_and_the_run_ends_well(harnex: Harnex) -> None:
    fake = Fake(
        harnex,
        f"begin()\nwhile not os.path.exists({str(harnex.base / 'go')!r}): time.sleep(0.02)\nanswer('all')",
    )
    command = fake.start("--id", "hup")
    harnex.until(lambda: harnex.state.exists() and [r for r in harnex.json("status", "--json") if r["state"] == "busy"])
    command.send_signal(signal.SIGHUP)
    command.communicate(timeout=10)
    (harnex.base / "go").touch()
    assert harnex.json("wait", "--id", "hup", "--timeout", "20")["last_outcome"]["outcome"] == "completed"
    harnex.until(lambda: fake.events("exited"))
    assert [row["text"] for row in fake.events("answer")] == ["all"]


def test_an_id_is_one_run_at_a_time(harnex: Harnex) -> None:
    fake = Fake(harnex, "begin(); time.sleep(300)")
    first = fake.start("--id", "one")
    harnex.until(lambda: harnex.state.exists() and harnex.json("status", "--json"))
    second = fake.run("--id", "one")
    assert (second.returncode, "already running" in second.stderr) == (1, True)
    first.send_signal(signal.SIGINT)
    assert first.wait(10) == 130
    first.communicate()


def test_an_answer_that_does_not_fit_is_asked_for_once(harnex: Harnex) -> None:
    schema = _write(harnex.base / "s.json", json.dumps({"type": "object", "required": ["a"]}))
    body = "begin(); answer('{}' if '--resume' not in sys.argv else GOOD)"
    for good, code in (('{"a": "é"}', 0), ("[]", 1), ("", 1)):
        fake = Fake(harnex, f"GOOD = {good!r}\nargv = sys.argv\n{body}")
        done = fake.run("--schema", schema, "--id", "shape")
        assert done.returncode == code, done.stderr
        assert done.stdout == ('{"a":"é"}\n' if code == 0 else "")
        assert code == 0 or "not valid for the schema" in done.stderr
        sent = [
            json.loads(x) for x in harnex.ok("events", "--snapshot", "--id", "shape", "--type", "send").splitlines()
        ]
        assert len(sent) == 2
        assert "'a' is a required property" in sent[1]["msg"]
        (row,) = [r for r in harnex.json("history", "--json") if r["run_id"] == sent[0]["run_id"]]
        assert (row["turns"], row["exit"]) == (2, code)


@pytest.mark.parametrize(
    "words",
    [
        ("exec", "claude"),
        ("exec", "claude", "go", "--prompt-file", "f"),
        ("exec", "claude", "--prompt-file", "/none"),
        ("exec", "claude", "--prompt-file", "-", "--context-file", "-"),
        ("exec", "claude", "go", "--schema", "/none"),
        ("exec", "claude", "go", "--timeout", "0"),
        ("exec", "claude", "go", "--detach", "--json"),
        ("exec", "bash", "go"),
        ("exec", "claude", "two", "words"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_leaves_nothing(harnex: Harnex, words: tuple[str, ...]) -> None:
    done = harnex.run(*words)
    assert done.returncode == 2
    assert done.stdout == "" or "--detach" in words
    assert done.stderr.startswith("harnex: ")
    assert not list(harnex.state.glob("runs/*"))


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)

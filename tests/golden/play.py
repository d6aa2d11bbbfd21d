"""Sessions that show what harnex prints and writes: all their JSON documents, and the
order of their last writes.

They are sessions of the bundled agent, of a shell (the generic adapter) and of a program in Claude
Code's place (`harnex exec`). A document is taken only when the session is at rest, so that its
outline does not depend on time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from harnex.model.events import EVENT_TYPES
from harnex.model.protocol import OPS
from tests.e2e.conftest import MARKER, Harnex
from tests.e2e.test_exec import Fake
from tests.golden.ends import from_its_first_event, order, without_its_state
from tests.golden.outline import Outline

CORPUS = Path(__file__).parents[1] / "corpus"
LOGS = {
    "claude": CORPUS / "claude" / "2.1.329" / "records" / "transcript.jsonl",
    "codex": CORPUS / "codex" / "0.169.0" / "sub_parent.jsonl",
}
GROUPINGS = ("call", "turn", "session", "day", "model", "repo", "agent")
LOOK = {"text": "I look.", "tools": [{"bash": "true"}]}
HANG = {"hang": 300}
WAIT = ("--timeout", "30")
# Variables of the environment that are kept.
KEPT = ("PATH", "HOME", "TMPDIR", "HARNEX_STATE_DIR", "TERM", "TMUX_TMPDIR", MARKER)
ADDED = {"LANG": "C.UTF-8", "NIGHT_API_KEY": "sk-0123456789abcdefghij"}
INSIDE = {"HARNEX_ID": "boss", "HARNEX_RUN_ID": "20260101T000000000-00000000", "HARNEX_CLI": "demo"}
# By document: strings whose values count, and objects whose keys are not harnex's.
VALUES = {
    "status": ("state", "mode", "permissions", "last_outcome.outcome", "watch"),
    "registry-entry": ("state", "mode", "permissions"),
    "exec-json": ("type",),
    "wait": ("state", "last_outcome.outcome", "exit.reason"),
    "send": ("status", "outcome"),
    "stop": ("reason",),
    "history": ("mode", "reason", "permissions", "last_outcome.outcome"),
    "recover": ("found[].reason",),
    "notification": ("kind", "state"),
    "event-state": ("state",),
    "event-exited": ("reason",),
    "event-delivery": ("status",),
    "event-turn_failed": ("outcome",),
    "event-tool": ("status",),
    "event-background": ("status", "kind"),
    "event-watch": ("phase",),
    "event-budget": ("kind",),
    "event-limit_wait": ("source",),
    "event-verify": ("kind",),
    "event-approval": ("verb",),
    "event-git": ("phase",),
}
FREE = {
    "start": ("env", "meta", "options.env", "options.meta"),
    "event-call": ("raw",),
    "event-answer": ("data",),
}
# The `evidence` of a stall: which of its keys are present depends on the moment.
CLOSED = ("evidence",)
# What git is asked for, under a time limit.
COUNTS = ("commits", "files_changed", "loc_added", "loc_removed", "rewritten")
DIRTY = ("dirty", "dirty_files", "dirty_added", "dirty_removed")
NAMES = ("sha", "branch")
LATE = (*COUNTS, *DIRTY, *NAMES, "git", *(f"git.{key}" for key in (*COUNTS, *DIRTY, "start_sha", "end_sha", "branch")))


class Play:
    """The documents and the ends of one place (`Harnex` of `tests/e2e`),
    whose processes are traced."""

    def __init__(self, place: Harnex) -> None:
        self.place = place
        self.outlines: dict[str, Outline] = {}
        self.ends: dict[str, list[str]] = {}
        self._supervisors: dict[str, int] = {}
        self._notes = place.base / "notes"
        # No variable of the person who runs the test may show in a file.
        place.env = {name: place.env[name] for name in KEPT if name in place.env} | ADDED
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        for words in (("init", "-q"), (*identity, "commit", "-q", "--allow-empty", "-m", "before")):
            subprocess.run(("git", *words), cwd=place.work, env=place.env, check=True)
        code = Path(__file__).with_name("traced.py").read_text()
        place.customize(code.replace('OUT = ""', f"OUT = {str(self._notes)!r}"))

    def take(self, name: str, *documents: Any) -> None:
        free = ("meta", *FREE.get(name, ()))
        outline = self.outlines.setdefault(name, Outline(VALUES.get(name, ()), free, CLOSED, LATE))
        for document in documents:
            outline.take(document)

    def said(self, name: str, *words: str, inside: bool = False) -> Any:
        """Return a command's JSON, however the command ended, and note it
        as a document of this name.

        `inside`: the command runs inside another agent.
        """
        done = self.place.run(*words, env=self.place.env | (INSIDE if inside else {}))
        assert done.stdout, (words, done.stderr)
        told = json.loads(done.stdout)
        self.take(name, *(told if isinstance(told, list) else [told]))
        return told

    def ask(self, session_id: str, op: str, **more: Any) -> dict[str, Any]:
        """Return the reply to one request over the session's control socket."""
        record = self.record(session_id)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(20)
            line.connect(record["socket"])
            line.sendall(json.dumps({"op": op, **more}).encode() + b"\n")
            return dict(json.loads(line.makefile("rb").readline()))

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in self.place.state.glob("sessions/*.json")]

    def record(self, session_id: str) -> dict[str, Any]:
        (record,) = [record for record in self.records() if record["id"] == session_id]
        return record

    def at_rest(self, *session_ids: str) -> None:
        """Take the registry entries of these sessions, and `status` about them, as they are now."""
        for session_id in session_ids:
            self.said("status", "status", "--id", session_id, "--json")
            self.take("registry-entry", self.record(session_id))

    def notes(self) -> list[Any]:
        """Return what supervisors and processes of `harnex recover` wrote and said so far."""
        return self.lines(self._notes)

    def heard(self, pid: int, word: str) -> bool:
        """Whether a supervisor got a request with this word."""
        return any(note[1:3] == [pid, "heard"] and word in note[4] for note in self.notes())

    # ---- sessions ----

    def talk(self) -> None:
        """Play a person's session: dialogs, messages of every outcome, and a
        script's looks at the session."""
        place, to = self.place, ("--id", "talk")
        listed = {"text": "Listed.", "tools": [{"todo": ["one"]}, {"agent": {"prompt": "dig", "description": "d"}}]}
        script = place.script(LOOK, listed, "Done.", LOOK, {"error": 400}, HANG, "On.", agents={"dig": ["Dug."]})
        options = ("--meta", '{"night": 1}', "--description", "A talk.", "--env", "NIGHT=1")
        summary = ("--summary-out", str(place.base / "talk.summary"))
        tui = ("--log", str(place.base / "talk.truth"), "--permission")
        self.said("run", "run", "demo", "--detach", *to, "--rehearse", script, *options, *summary, "--", *tui)
        self.said("wait", "wait", *to, "--until", "prompt", *WAIT)
        self.said("send", "send", *to, "--message", "Look.", "--no-wait")
        self.said("wait", "wait", *to, "--until", "blocked", *WAIT)
        self.at_rest("talk")
        self.said("pane", "pane", *to, "--json")
        self.said("send", "send", *to, "--message", "Now.")
        self.said("wait", "wait", *to, "--until", "prompt", *WAIT)
        self.said("approve", "approve", *to)
        self.said("wait", "wait", *to, *WAIT)
        self.at_rest("talk")
        self.said("send", "send", *to, "--message", "Again.")
        self.said("wait", "wait", *to, "--until", "blocked", *WAIT)
        self.said("deny", "deny", *to)
        self.said("wait", "wait", *to, *WAIT)
        self.said("approve", "approve", *to)
        self.said("send", "send", *to, "--message", "Fail.", "--wait-for-idle", *WAIT)
        self.said("send", "send", *to, "--message", "Hang.", "--wait-for-idle", "--timeout", "1")
        self.said("send", "send", *to, "--message", "Later.", "--no-wait", inside=True)
        self.said("wait", "wait", *to, "--timeout", "0.1")
        self.at_rest("talk")
        self.message_files("talk")
        self.said("send", "send", *to, "--message", "Too late.", "--timeout", "0.1")
        self.ask("talk", "interrupt")
        self.said("wait", "wait", *to, *WAIT)
        self.ask("talk", "answer", verb="approve", dialog="permission", by="test")
        for op in ("status", "watch", "tmux", "attach"):
            self.ask("talk", op, **({"columns": 100, "rows": 30, "read_only": True} if op == "attach" else {}))
        self.usage(*to)
        self.said("stop", "stop", *to)
        self.said("stop", "stop", *to)
        self.said("failure", "send", "--id", "nobody", "--message", "x")

    def message_files(self, session_id: str) -> None:
        inbox = self.place.state / "runs" / self.record(session_id)["run_id"] / "inbox"
        self.take("message-file", *(json.loads(path.read_text()) for path in inbox.glob("*.json")))

    def usage(self, *to: str) -> None:
        self.said("usage", "usage", *to, "--json")
        self.said("usage-call", "usage", *to, "--call", "1", "--json")
        for by in GROUPINGS:
            self.said(f"usage-by-{by}", "usage", "--by", by, "--json")
            for cli, path in LOGS.items():
                self.said(f"usage-by-{by}-from-{cli}", "usage", "--by", by, "--json", "--from", cli, str(path))
        for cli, path in LOGS.items():
            words = ("--json", "--from", cli, str(path))
            self.said(f"usage-from-{cli}", "usage", *words)
            self.said(f"usage-call-bodies-from-{cli}", "usage", "--call", "1", "--bodies", *words)

    def begin_night(self) -> None:
        """Play four watched sessions.

        One stands still and is checked, one is refused and spends its budget, one needs
        a person, and one crashes.
        """
        place = self.place
        told, flag = place.base / "told", place.base / "checked"
        command = f"until test -e '{place.base / 'gate'}'; do sleep 0.05; done"
        job = {"name": "Bash", "input": {"command": command, "run_in_background": True}}
        begun = {"text": "It runs.", "tools": [{"raw": job}]}
        check = f"test -e '{flag}' || ! touch '{flag}'"
        notify = f"cat >> '{told}'; exit 3"
        watch = ("--watch", "--auto-stop", "--context", "go", "--max-resumes", "9")
        words = ("--stall-after", "2s", "--verify", check, "--notify-cmd", notify)
        self._begin("night", HANG, begun, "I wait.", "All done.", "Fixed.", run=(*watch, *words))
        limit = {"usage_limit": {"resets_at": 1}}
        self._begin("limits", limit, LOOK, LOOK, HANG, run=(*watch, "--max-calls", "2"))
        self._begin("person", {"error": "auth"}, run=("--watch", "--context", "go", "--notify-cmd", notify))
        self._begin("crashing", HANG, HANG, HANG, run=("--watch", "--context", "go", "--max-resumes", "1"))

    def _begin(self, session_id: str, *calls: Any, run: tuple[str, ...]) -> None:
        self._supervisors[session_id] = self.place.agent(session_id, *calls, run=run)["supervisor_pid"]

    def over(self, session_id: str) -> None:
        """Wait for the end of a session, and take the reply of `wait`
        then, which reads the history."""
        pid = self._supervisors[session_id]
        self.place.until(lambda: not _alive(pid), 40, f"the end of {session_id}")
        self.said("wait", "wait", "--id", session_id, "--until", "exited", *WAIT)

    def end_night(self) -> None:
        place = self.place
        for restarts in (0, 1):
            place.until(lambda n=restarts: len(place.events("crashing", "restart")) == n, 30, "it is restarted")
            place.until(lambda: "turn_started" in self.last_of("crashing"), 30, "it is in a turn")
            os.kill(self.record("crashing")["pid"], signal.SIGKILL)
        place.until(lambda: self.record("night")["waiting"], 30, "work in the background is waited for")
        self.at_rest("night")
        (place.base / "gate").touch()
        for session_id in ("crashing", "person", "limits", "night"):
            self.over(session_id)
        told = place.base / "told"
        place.until(lambda: {row["kind"] for row in self.lines(told)} >= {"done", "person"}, 20, "people are told")
        self.take("notification", *self.lines(told))

    def last_of(self, session_id: str) -> list[str]:
        """Return the types of the events since the start of the agent's process."""
        types = [row["type"] for row in self.place.events(session_id)]
        starts = [n for n, kind in enumerate(types) if kind in ("started", "restart")]
        return types[starts[-1] :]

    @staticmethod
    def lines(path: Path) -> list[Any]:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def headless(self) -> None:
        place = self.place
        gate = place.base / "answer now"
        held = f"while 'later' in prompt and not os.path.exists({str(gate)!r}): time.sleep(0.02)"
        fake = Fake(place, f"begin()\n{held}\nanswer('{{\"a\": 1}}' if 'good' in prompt else '')")
        schema = place.base / "schema.json"
        schema.write_text('{"type": "object", "required": ["a"]}')
        words = ("--schema", str(schema), "--json")
        for prompt in ("good", "bad"):
            for line in fake.run(*words, prompt=prompt).stdout.splitlines():
                self.take("exec-json", json.loads(line))
        words = ("--cli-version", "2.1.329", "--detach", "--id", "headless", "later")
        self._supervisors["headless"] = self.said("exec-detach", "exec", "claude", *words)["supervisor_pid"]
        gate.touch()
        self.over("headless")

    def cut_off(self) -> None:
        """Kill the supervisor in a turn, with a message in hand; then the run is resumed."""
        place = self.place
        place.agent("cut", HANG, "Done.", run=("--context", "go"))
        place.ok("wait", "--id", "cut", "--until", "busy", *WAIT)
        place.ok("send", "--id", "cut", "--message", "Then this.", "--no-wait")
        self.message_files("cut")
        self.kill("cut")
        self.said("recover", "recover", "--id", "cut", "--resume", "--json")
        self.said("wait", "wait", "--id", "cut", *WAIT)
        self.at_rest("cut")
        self.said("stop", "stop", "--id", "cut", "--force")

    def kill(self, session_id: str) -> None:
        """Kill the supervisor of a session, and check that its agent has noticed."""
        record = self.record(session_id)
        os.kill(record["supervisor_pid"], signal.SIGKILL)
        lock = self.place.state / "sessions" / f"{record['run_id']}.lock"
        assert lock.exists()
        self.place.until(lambda: not _alive(record["supervisor_pid"]), what="the supervisor is gone")

    def all_ends(self) -> None:
        """Play a session for each kind of end, and take the order of the writes."""
        place, done = self.place, self.place.base / "done"
        names = ("stop", "crash", "sigterm", "recovery")
        for name in names:
            summary = ("--summary-out", str(place.base / f"{name}.summary"))
            place.agent(name, "One.", run=("--context", "go", *summary))
        sh = ("--", "-c", f"until test -e '{done}'; do sleep 0.05; done; echo bye")
        summary = ("--summary-out", str(place.base / "exit.summary"))
        (place.base / "no repository").mkdir()
        where = ("--cwd", str(place.base / "no repository"))
        self.said("run", "run", "sh", "--detach", "--id", "exit", *where, *summary, *sh, inside=True)
        for name in names:
            place.ok("wait", "--id", name, *WAIT)
        place.until(lambda: self.record("exit")["state"] == "unknown", 30, "nothing is known of a shell")
        # Each agent still writes the last thing about its turn.
        time.sleep(0.5)
        self.at_rest(*names, "exit")
        records = {name: self.record(name) for name in (*names, "exit")}
        waiting = place.start("wait", "--id", "stop", "--until", "exited", *WAIT)
        place.until(lambda: self.heard(records["stop"]["supervisor_pid"], '"exited"'), what="it is waited for")
        before = len(self.notes())
        done.touch()
        os.kill(records["crash"]["pid"], signal.SIGKILL)
        os.kill(records["sigterm"]["supervisor_pid"], signal.SIGTERM)
        self.said("stop", "stop", "--id", "stop")
        self.take("wait", json.loads(waiting.communicate(timeout=30)[0]))
        for name in ("exit", "crash", "sigterm", "stop"):
            pid = records[name]["supervisor_pid"]
            self._supervisors[name] = pid
            self.over(name)
            mine = [note for note in self.notes()[before:] if note[1] == pid]
            lines = from_its_first_event(order(mine, place.state))
            self.ends[name] = lines if name in ("stop", "sigterm") else without_its_state(lines)
        self.kill("recovery")
        before = len(self.notes())
        self.said("recover", "recover", "--all", "--json")
        self.ends["recovery"] = order([n for n in self.notes()[before:] if n[0] == "recover"], place.state)

    def looks(self) -> None:
        """Play the commands that need no session of their own."""
        place = self.place
        screen = place.base / "screen.json"
        screen.write_text(place.ok("pane", "--id", "talk", "--json"))
        self.take("pane-of-a-finished-run", json.loads(screen.read_text()))
        words = [str(screen), str(next((CORPUS / "claude" / "2.1.329").glob("idle/*.txt")))]
        for line in place.ok("detect", "--json", "--cli", "claude", *words).splitlines():
            self.take("detect", json.loads(line))
        self.said("doctor", "doctor", "--json")
        (place.work / ".harnex.toml").write_text('[notify]\ncmd = "true"\n')
        self.said("trust-show", "trust", "--show", "--json")
        self.said("trust", "trust", "--json")
        self.said("trust-list", "trust", "--list", "--json")
        self.said("trust-revoke", "trust", "--revoke", "--json")
        self.said("history", "history", "--all", "--json")
        self.take("summary-file", *(json.loads(path.read_text()) for path in place.base.glob("*.summary")))

    def files(self) -> None:
        """Take what the runs left, and what was said over their sockets."""
        state = self.place.state
        for name in ("manifest", "start"):
            self.take(name, *(json.loads(path.read_text()) for path in state.glob(f"runs/*/{name}.json")))
        self.take("history-record", *self.lines(state / "history.jsonl"))
        for path in state.glob("runs/*/events.jsonl"):
            for row in self.lines(path):
                self.take(f"event-{row['type']}", row)
        self.conversations()
        self.said("prune", "prune", "--older-than", "0s", "--dry-run", "--json")
        self.said("prune", "prune", "--older-than", "0s", "--keep", "3", "--json")

    def conversations(self) -> None:
        heard: dict[tuple[int, str], dict[str, str]] = {}
        for _, pid, what, number, text in self.notes():
            if what in ("heard", "said"):
                both = heard.setdefault((pid, number), {"heard": "", "said": ""})
                both[what] += text
        for both in heard.values():
            for request, reply in zip(both["heard"].split("\n"), both["said"].split("\n"), strict=False):
                if request and reply:
                    op, answer = json.loads(request), json.loads(reply)
                    self.take(f"socket-{op['op']}-request", op)
                    self.take(f"socket-{op['op']}-reply" if answer["ok"] else "socket-failure", answer)

    def play(self) -> None:
        self.begin_night()
        self.talk()
        self.all_ends()
        self.end_night()
        self.cut_off()
        self.headless()
        self.looks()
        self.files()
        assert {f"socket-{op}-request" for op in OPS} <= set(self.outlines)

    def documents(self) -> dict[str, str]:
        """Return the text of each golden file.

        The file of an event also has the event's fields as declared.
        """
        texts = {name: outline.lines() for name, outline in self.outlines.items()}
        for name, kind in EVENT_TYPES.items():
            declared = {("from" if f.name == kind.from_field else f.name): f for f in dataclasses.fields(kind)}
            lines = [f"{key}: {f.type}{_default(f)}" for key, f in declared.items()]
            written = texts.get(f"event-{name}", ["(by no run of the test)"])
            texts[f"event-{name}"] = ["# as written", *written, "", "# as declared", *lines]
        return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f" = {field.default_factory()!r}"
    return "" if field.default is dataclasses.MISSING else f" = {field.default!r}"


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

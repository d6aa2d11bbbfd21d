"""The double of Paseo's CLI against the recordings of the real one
(`tests/paseo/calls.jsonl`, 0.1.65-beta.5).

The recorded session is played again, call by call and at the same relative pace. For each call the
exit code, the stream, the shape and the meaningful words (states, results, error codes) must be
those of the real program.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parents[1] / "paseo"
ROWS = [json.loads(line) for line in (HERE / "calls.jsonl").read_text().splitlines()]
SPEED = 25.0
MEANING = {"status", "Status", "result", "stoppedCount", "deletedCount", "code", "action", "localDaemon", "Archived"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Calls that are not played: those that depend on what another tool did, and those that were
# recorded on another home.
SKIPPED = {
    "daemon-status-providers": "the providers of that machine",
    "unix-start": "another home", "unix-status": "another home", "unix-ls": "another home", "unix-run": "another home",
    "unix-stop": "another home", "unix-ls-down": "another home",
    "daemon-restart": "not supported",
    "inspect-worktree": "not supported",
    "inspect-after-send-archived": "a message in between was not recorded",
    "host-explicit-unset-home": "which agent is the newest depends on calls that were not recorded",
    "host-env": "the same",
    "inspect-after-restart-A": "`closed`, and once `initializing`",
    "run-claude-slow": "a provider that sleeps", "run-codex-slow": "a provider that sleeps",
    "run-codex-slow2": "a provider that sleeps", "run-codex-slow3": "a provider that sleeps",
}  # fmt: skip


def meaning(value: Any, key: str = "") -> Any:
    """Return a value without what differs between two runs: types for words and
    numbers, except meaningful ones."""
    if isinstance(value, dict):
        return {
            k: meaning(v, k) for k, v in value.items() if k not in ("details", "AvailableModes", "providers", "note")
        }
    if isinstance(value, list):
        return [meaning(value[0])] if value else []
    if key in MEANING or value is None:
        return value
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def told(text: str) -> Any:
    """Return the meaning of JSON, or the kind of lines of plain text."""
    try:
        return meaning(json.loads(text))
    except ValueError:
        first = text.splitlines()[0] if text.strip() else ""
        return (re.sub(r"\b[0-9a-f]*\d[0-9a-f]*\b|/\S+", "N", re.sub(UUID, "ID", first)))[:7]


class Player:
    """One home, one daemon, and the ids of the recording translated to those of this run."""

    def __init__(self, base: Path) -> None:
        self.home, self.work = base / "home" / ".paseo", base / "repo"
        self.home.mkdir(parents=True)
        self.work.mkdir()
        self.port = 20000 + os.getpid() % 20000
        (self.home / "config.json").write_text(json.dumps({"daemon": {"listen": f"127.0.0.1:{self.port}"}}))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PASEO", "HARNEX"))}
        self.env |= {
            "HOME": str(base / "home"), "PASEO_HOME": str(self.home), "DOUBLE_SPEED": str(SPEED),
            "PYTHONPATH": str(HERE.parents[1]), "DOUBLE_ASKED": str(base / "asked"),
        }  # fmt: skip
        self.ids: dict[str, str] = {}
        self.meanwhile: list[tuple[dict[str, Any], subprocess.Popen[str]]] = []

    def words(self, row: dict[str, Any]) -> list[str]:
        # A word a second: much slower here, so that no turn ends by itself before
        # the recorded action on it.
        return [self._own(word).replace(",1.0]", ",30]") for word in row["argv"][1:]]

    def _own(self, text: str) -> str:
        text = re.sub(UUID, lambda m: self.ids.get(m[0], m[0]), text)
        text = re.sub(r"\b(be946ee|t-claude)\b(?!-)", lambda m: self.short(m[0]), text)
        text = text.replace("18191", str(self.port)).replace("/home/dev/repo", str(self.work))
        return text.replace("/home/dev/lab", str(self.work))

    def short(self, name: str) -> str:
        full = next((v for k, v in self.ids.items() if k.startswith(name)), None)
        return full[:7] if full else name

    def start(self, row: dict[str, Any]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.paseo.cli", *self.words(row)],
            env=self.env, cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def asked(self) -> int:
        """Return how many calls of the CLI have sent their request to the daemon."""
        path = Path(self.env["DOUBLE_ASKED"])
        return len(path.read_text().splitlines()) if path.exists() else 0

    def learn(self, row: dict[str, Any], out: str) -> None:
        """Map the ids that this call made by their place: of an agent, and of the
        permission that it waits for."""
        if row["argv"][1] not in ("run", "inspect", "import"):
            return
        self.ids |= dict(zip(UUID.findall(row["stdout"]), UUID.findall(out), strict=False))

    def make_missing(self, row: dict[str, Any]) -> None:
        """Make agents that no recorded call made: like a recorded one, in
        the state that was noted."""
        for agent in UUID.findall(" ".join(row["argv"])):
            if row["name"] == "permit-deny" or agent in self.ids or not agent.strip("0-") or row["argv"][1] == "import":
                continue
            steps = '[["bash","sleep 30; x"]]' if "tool" in row["name"] else '[["text","' + "w " * 300 + '",1.0]]'
            if "permission" in row["state"]:
                steps = '[["bash","touch x"],["text","no"]]'
            provider = "codex/gpt-5.1-codex" if "codex" in row["name"] else "claude"
            words = ["run", "-d", "--json", "--provider", provider, "--title", agent, f"x SCRIPT:{steps}"]
            out, _ = self.start({"argv": ["paseo", *words]}).communicate(timeout=20)
            self.ids[agent] = json.loads(out)["agentId"]
            time.sleep(0.2)
            if "phantom" in row["state"]:
                self.start({"argv": ["paseo", "stop", "--json", agent]}).communicate(timeout=20)

    def daemon(self) -> psutil.Process:
        return psutil.Process(json.loads((self.home / "paseo.pid").read_text())["pid"])


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Player]:
    player = Player(tmp_path)
    yield player
    for _, process in player.meanwhile:
        process.kill()
        process.communicate()
    if (player.home / "paseo.pid").exists():
        try:
            daemon = player.daemon()
        except psutil.NoSuchProcess:
            return
        for process in [*daemon.children(recursive=True), daemon]:
            process.kill()


@pytest.mark.more
@pytest.mark.timeout(180)
def test_every_recorded_call(player: Player) -> None:
    (player.work / "prompt.txt").write_text('Line "one"\n--flag SCRIPT:[["text","got the file prompt"]]')
    (player.work / "sub" / "dir").mkdir(parents=True)
    wrong, played = [], 0
    for row in ROWS:
        name = row["name"]
        before(player, name)
        if name in SKIPPED or row["exit_code"] in (-9, None) or "recorder sent signal" in row["note"]:
            continue
        player.make_missing(row)
        asked = player.asked()
        process = player.start(row)
        if row["state"].endswith("-meanwhile"):
            player.meanwhile.append((row, process))
            end = time.monotonic() + 20
            while player.asked() == asked and process.poll() is None and time.monotonic() < end:
                time.sleep(0.02)  # until the call's request is with the daemon
            continue
        try:
            out, err = process.communicate(timeout=8)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += "it hung"
        played += 1
        player.learn(row, out)
        wrong += differences(row, process.returncode, out, err)
        after(player, name, out)
    assert played > 180
    assert not wrong, "\n".join(wrong)


def differences(row: dict[str, Any], code: int, out: str, err: str) -> list[str]:
    found = []
    if code != row["exit_code"]:
        found.append(f"exit code {code}, not {row['exit_code']}")
    for stream, real, ours in (("stdout", row["stdout"], out), ("stderr", row["stderr"], err)):
        if told(real) != told(ours):
            found.append(f"{stream}: {told(ours)}\n      not {told(real)}")
    return [f"{row['name']} {row['argv'][1:]}\n   {f}" for f in found]


def before(player: Player, name: str) -> None:
    """Do what was done to the real program between two calls."""
    # The full id was read by a call that was not recorded; `permit ls` cuts it.
    if name == "permit-deny":
        row = next(r for r in ROWS if r["name"] == name)
        agent, request = UUID.findall(" ".join(row["argv"]))
        found, _ = player.start({"argv": ["paseo", "inspect", "--json", agent]}).communicate(timeout=20)
        player.ids[request] = UUID.findall(json.loads(found)["PendingPermissions"][0]["id"])[0]
    elif name == "inspect-daemon-hung":
        player.daemon().suspend()
    elif name == "host-explicit-unset-home":
        player.daemon().resume()
    elif name == "daemon-status-killed":
        daemon = player.daemon()
        for process in [daemon, *daemon.children(recursive=True)]:
            process.kill()
        settle(player)


def after(player: Player, name: str, out: str) -> None:
    if name in ("run-kill-claude", "run-kill-codex"):
        word = "claude-double" if name == "run-kill-claude" else "codex-double"
        time.sleep(0.1)
        newest = max((p for p in player.daemon().children() if p.cmdline()[:1] == [word] or word in " ".join(p.cmdline())),
                     key=lambda p: p.create_time())  # fmt: skip
        newest.send_signal(signal.SIGKILL)
        time.sleep(0.1)
    elif name.startswith("daemon-start"):
        time.sleep(0.4)
    elif name == "daemon-stop":
        settle(player)


def settle(player: Player) -> None:
    """Check the clients that waited meanwhile: a graceful stop reports success to them,
    a kill a closed transport."""
    for row, process in player.meanwhile:
        out, err = process.communicate(timeout=20)
        assert differences(row, process.returncode, out, err) == [], row["name"]
    player.meanwhile.clear()


def test_the_state_file_has_the_recorded_shape(player: Player) -> None:
    """The double has every field of the real one, except those that only people's windows need, and
    never tokens, costs or permissions."""
    start = {"argv": ["paseo", "daemon", "start"]}
    player.start(start).communicate(timeout=20)
    time.sleep(0.4)
    run = {"argv": ["paseo", "run", "--json", "--provider", "claude/x", "--title", "t", "hello"]}
    player.start(run).communicate(timeout=20)
    ours = json.loads(next(player.home.glob("agents/*/*.json")).read_text())
    real = json.loads((HERE / "statefile-idle.json").read_text())
    assert set(ours) - {"archivedAt"} == set(real)
    assert not {"lastUsage", "pendingPermissions", "cost"} & set(ours)
    assert (ours["lastStatus"], ours["attentionReason"]) == (real["lastStatus"], real["attentionReason"])

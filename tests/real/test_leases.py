"""Leased credentials and planted secrets with the real CLIs: which key they used, what they leave behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_safety import leaks
from tests.real import agents
from tests.real.conftest import Agent

API_KEY = "sk-ant-api03-" + "Lease7Key9" * 6
TOKEN = "sk-ant-oat01-" + "Lease8Tok5" * 6
GATEWAY = "gateway-" + "Lease6Gat4" * 4
OPENAI = "sk-proj-" + "Lease5Key3" * 6


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def forms(cli: str) -> dict[str, tuple[tuple[str, str], str, str]]:
    """name -> (how it is given: option and text), the key that must arrive, how it must come."""
    if cli == "codex":
        return {
            "env": (("WORK_KEY", OPENAI), OPENAI, "bearer"),
            "file": (("auth.json", json.dumps({"OPENAI_API_KEY": OPENAI, "tokens": None})), OPENAI, "bearer"),
        }
    login = {
        "claudeAiOauth": {"accessToken": TOKEN, "refreshToken": None, "expiresAt": None, "scopes": ["user:inference"]}
    }
    return {
        "env": (("WORK_KEY", API_KEY), API_KEY, "x-api-key"),
        "token": (("WORK_KEY", TOKEN), TOKEN, "bearer"),
        "gateway": (("ANTHROPIC_AUTH_TOKEN", GATEWAY), GATEWAY, "bearer"),
        "file": ((".credentials.json", json.dumps(login)), TOKEN, "bearer"),
    }


@pytest.mark.parametrize(
    ("agent", "form"),
    [(pair, form) for pair in agents.PINNED for form in forms(pair[0]) if form in ("env", "token") or pair[1] == agents.VERSIONS[pair[0]][0]],
    indirect=["agent"],
    ids=lambda v: v if isinstance(v, str) else "-".join(v),
)  # fmt: skip
def test_it_starts_without_a_dialog_and_uses_the_key(agent: Agent, form: str) -> None:
    (name, text), key, how = forms(agent.cli)[form]
    place = agent.place
    if name.isupper():
        place.env[name] = text
        words: tuple[str, ...] = ("--credential-env", name)
    else:
        path = place.base / name
        path.write_text(text)
        words = ("--credential-file", str(path))
    calls: list[Any] = [{"tools": [{"bash": "echo it is $WORK_KEY."}], "text": "look"}, {"text": "all done"}]
    reply = agent.start("l", *calls, run=words)
    assert agent.wait("l", "prompt")["ok"]
    assert not agent.events("l", "blocked")
    home = place.state / "runs" / reply["run_id"] / "lease"
    assert any(key.encode() in p.read_bytes() for p in home.iterdir() if p.is_file()) or form == "gateway"
    assert agent.send("l", "go")["outcome"] == "completed"
    main = agent.log("l", "request")
    assert {(r["auth"], r["key_sha256"]) for r in main} == {(how, sha(key))}
    calls_of_main = [c for c in agent.events("l", "call") if c["agent"] == "main"]
    assert len(calls_of_main) == 2, "the records of a private home are read"
    agent.stop("l")
    assert {p.name for p in home.iterdir()} <= {"projects", "sessions"} if home.exists() else True
    assert leaks(place.state, {"key": key}) == []
    agent.check_ended("l")


@pytest.mark.parametrize("agent", [(c, v[0]) for c, v in agents.VERSIONS.items()], indirect=True, ids=lambda p: p[0])
def test_a_printed_secret_is_in_no_file_and_a_killed_supervisor_leaves_no_lease(agent: Agent) -> None:
    place = agent.place
    secret = "zebra7LanternQuartz42Meadow9Violet"
    shaped = "ghp_" + "aB3dE5fG7hJ9kL2mN4pQ6rS8tU0vW1xY7zA9"
    place.env |= {"ACME_API_KEY": secret, "WORK_KEY": OPENAI if agent.cli == "codex" else API_KEY}
    (place.work / "secret.txt").write_text(f"{shaped}\n")
    show = "echo $ACME_API_KEY; cat secret.txt; printf %s $ACME_API_KEY | base64; printf '\\033[31m%s\\033[0m%s\\n' zebra7LanternQua rtz42Meadow9Violet"
    calls: list[Any] = [
        {"text": f"I saw {shaped}.", "tools": [{"bash": show}]},
        {"text": f"It says {secret}, or {secret.encode().hex()}.", "pause": 0.02},
        {"hang": 60},
    ]  # fmt: skip
    reply = agent.start("p", *calls, run=("--credential-env", "WORK_KEY", "--context", f"is {shaped} a key?"))
    assert agent.wait("p", "task_complete")["ok"]
    text = place.ok("pane", "--id", "p")
    assert secret in text or shaped in text, "what is shown live is the agent's own screen"
    os.kill(int(reply["supervisor_pid"]), signal.SIGKILL)
    place.ok("status", "--json")
    run_dir: Path = place.state / "runs" / reply["run_id"]
    left = {p.name for p in (run_dir / "lease").iterdir()} if (run_dir / "lease").exists() else set()
    assert left <= {"projects", "sessions"}
    assert leaks(place.state, {"named": secret, "shaped": shaped, "key": place.env["WORK_KEY"]}) == []
    assert place.json("history", "--json")[-1]["reason"] == "supervisor_lost"


@pytest.mark.parametrize("agent", [(c, v[0]) for c, v in agents.VERSIONS.items()], indirect=True, ids=lambda p: p[0])
def test_a_headless_run_uses_a_lease_and_leaves_nothing_secret(agent: Agent) -> None:
    place = agent.place
    key = OPENAI if agent.cli == "codex" else API_KEY
    secret = "zebra7LanternQuartz42Meadow9Violet"
    place.env |= {"WORK_KEY": key, "ACME_API_KEY": secret}
    out = place.base / "summary.json"
    script = place.script({"tools": [{"bash": "echo it is $ACME_API_KEY"}], "text": f"I look for {secret}"}, "all done")
    words = ("--rehearse", script, "--permissions", "bypass", "--credential-env", "WORK_KEY", "--summary-out", str(out))
    assert place.ok("exec", agent.cli, "look", "--id", "h", *words).strip() == "all done"
    row = json.loads(out.read_text())
    agent.run_ids["h"] = row["run_id"]
    assert {r["key_sha256"] for r in agent.log("h", "request")} == {sha(key)}
    assert row["actual"]["calls"] == 2
    assert leaks(place.state, {"key": key, "named": secret}) == []

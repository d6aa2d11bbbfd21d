"""Paseo 0.1.65-beta.5: a daemon that runs Claude Code and Codex; its CLI starts, lists, messages and stops them.

Measured on the real program (field/paseo.md; built from its source at f3de568 for `tests/real`). There is no screen to
read: the terminal shows `paseo attach` for people, whose end means nothing (it exits 0 when the daemon is gone) and
which has no line for a turn's end. Everything else is commands (`paseo/cli.py`), the daemon's state file and the
provider's own record; `paseo/state.py` and `paseo/reader.py` put them together, `paseo/start.py` is the way to the agent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harnex import times
from harnex.agents.contract import Launch, LaunchRequest, Rehearsal, Source, StopStep, Typing, Version
from harnex.agents.paseo.cli import Cli, secret_host
from harnex.agents.paseo.reader import ASKED, PaseoReader
from harnex.agents.paseo.state import CONFIG
from harnex.errors import UsageError
from harnex.model.facts import ScreenView, State

# What is shown to people: `paseo attach`, which reads no keys, ends with exit code 0 when the daemon is gone, and is begun
# again then. It is a job in the background, so that Ctrl-C and Ctrl-Z reach the shell alone: Ctrl-C asks harnex, by an
# OSC sequence of its own, to interrupt the turn, as it would in other agents. The id comes by the terminal, once there
# is an agent.
SHOW = """set -m
stty -echo 2>/dev/null
ask=$1; shift; job=
trap '[ -z "$job" ] || kill "$job" 2>/dev/null; exit 0' TERM HUP
trap '' TSTP QUIT
trap : INT
echo 'harnex: Paseo is being started'
while :; do read -r id || exit 0; case $id in *-*-*-*-*) break ;; esac; done
trap 'printf "\\033]%s\\033\\\\" "$ask"; printf "\\nharnex: interrupting the turn\\n"' INT
echo 'harnex: this view takes no text (messages: harnex send). Ctrl-C interrupts the turn'
while :; do
  "$@" "$id" </dev/null & job=$!
  while kill -0 "$job" 2>/dev/null; do wait "$job"; done
  echo 'harnex: this view ended; the agent does not. Attaching again'
  sleep 10 & job=$!
  while kill -0 "$job" 2>/dev/null; do wait "$job"; done
done
"""
MODES: dict[str, dict[str, str]] = {
    "claude": {"ask": "default", "auto": "acceptEdits", "bypass": "bypassPermissions"},
    "codex": {"ask": "auto", "auto": "auto", "bypass": "full-access"},
}
_UNSET = ("PASEO_HOST", "PASEO_LISTEN", "PASEO_AGENT_ID", "PASEO_HOSTNAMES", "PASEO_SUPERVISED", "CLAUDECODE")


class PaseoAdapter:
    """The `Adapter` of Paseo."""

    name = "paseo"
    program = "paseo"
    known: tuple[Version, Version] | None = ((0, 1, 65), (0, 1, 65))
    sources: tuple[Source, ...] = (
        Source("daemon", 1),  # whether it answers at all
        Source("inspect", 1),  # permissions, which nothing else tells
        Source("statefile", 1),  # rewritten at each transition
    )

    def launch(self, request: LaunchRequest) -> Launch:
        """Raises UsageError if it is not said what to run."""
        options, notes = request.options, []
        host, adopt, provider = (options.get(n, "") for n in ("paseo-host", "adopt", "provider"))
        if adopt and not host:
            raise UsageError("--adopt needs the daemon that the agent is on", "add: --paseo-host HOST:PORT")
        if adopt and (provider or request.args):
            raise UsageError("--adopt takes an agent as it is", "leave --provider and what follows -- out")
        if not adopt and not all(provider.partition("/")):
            hint = "Paseo would choose one by itself: --provider claude/MODEL or --provider codex/MODEL"
            raise UsageError("which agent and which model?", hint)
        home = f"{request.evidence_dir.rstrip('/').rpartition('/')[0]}/paseo"
        env: dict[str, str | None] = dict.fromkeys(_UNSET)
        files: dict[str, str] = {}
        private = not host
        if private:
            host = f"unix://{request.socket()}"  # a port could be anybody's, and anybody could use it
            files[f"{home}/config.json"] = json.dumps(_config(host), indent=1)
            env["PASEO_HOME"] = home
            if request.as_root and provider.startswith("claude"):
                env["IS_SANDBOX"] = "1"
                notes.append("IS_SANDBOX=1 is set: as root, Claude Code does not start under Paseo without it")
        else:
            home = request.env.get("PASEO_HOME") or f"{request.env.get('HOME', '').rstrip('/')}/.paseo"
            if secret_host(host):
                env["PASEO_HOST"] = host
            notes.append(
                "the daemon is not ours: its agents have its environment, not this one's, and it is not stopped"
            )
        mode = MODES.get(provider.split("/")[0].partition("-")[0], {}).get(request.permissions, "")
        if request.permissions == "auto" and not adopt:
            notes.append(
                "auto: Paseo's agents have no mode that never asks; for the rest they wait for approve or deny"
            )
        own_mode = _value_of(request.args, "--mode")
        run = [] if _value_of(request.args, "--title") else ["--title", request.title]
        if own_mode is None and mode:
            run += ["--mode", mode]
        plan = {
            "program": request.command,
            "host": host,
            "home": home,
            "private": private,
            "provider": provider,
            "adopt": adopt,
            "label": f"harnex={request.run_id}",
            "run": [*run, *request.args],
            "message_file": f"{request.evidence_dir.rstrip('/')}/message.txt",
            "cwd": request.cwd,
            "began": _began(request.run_id),
        }
        env[CONFIG] = json.dumps(plan)
        ask = f"{ASKED};{plan['label']}"
        argv = ("/bin/sh", "-c", SHOW, "paseo", ask, *Cli(request.command, host).attach())
        return Launch(argv, env, files, adopt or None, f"--mode {own_mode or mode}" if not adopt else "", tuple(notes))

    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        return None  # its agents have theirs: `AgentKind.runs`

    def reader(self, version: Version | None) -> PaseoReader:
        return PaseoReader(version)

    def typing(self, text: str, version: Version | None) -> Typing:
        """Given by `paseo send --prompt-file`: a second of Node, and up to 12 s for a slow agent to start."""
        return Typing(b"", b"", accept_s=100.0, handed=True)

    def interrupt(self, view: ScreenView, version: Version | None) -> bytes:
        return b""

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        return (
            StopStep("stop the turn", ask="interrupt", grace_s=40.0, until="prompt"),
            StopStep("leave the agent and the daemon", ask="leave", grace_s=45.0),
        )

    def resume_args(self, session_id: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        return ()


def _config(listen: str) -> Mapping[str, Any]:
    """By default the relay is on, and speech models are downloaded."""
    return {
        "version": 1,
        "daemon": {
            "listen": listen,
            "relay": {"enabled": False},
            "cors": {"allowedOrigins": []},
            "mcp": {"enabled": False, "injectIntoAgents": False},
        },
        "features": {"dictation": {"enabled": False}, "voiceMode": {"enabled": False}},
    }


def _began(run_id: str) -> float:
    """When the run began: its id says it (`20261121T055312123-…`, UTC)."""
    return times.parse_compact(run_id) or 0.0


def _value_of(args: tuple[str, ...], flag: str) -> str | None:
    for n, arg in enumerate(args):
        if arg == flag and n + 1 < len(args):
            return args[n + 1]
        if arg.startswith(flag + "="):
            return arg.partition("=")[2]
    return None


ADAPTER = PaseoAdapter()

"""The rehearsal of a run: its endpoint, and what makes the agent talk only to that endpoint."""

from __future__ import annotations

import os
import subprocess

from harnex import interpreter, jsonl
from harnex.agents import catalogue
from harnex.agents.contract import Adapter, Rehearsal, Version
from harnex.errors import UsageError
from harnex.launch.environment import apart_env
from harnex.process import start_time


def rehearsal(
    cli: str, adapter: Adapter, adapter_name: str, endpoint: Endpoint, home: str, cwd: str, version: Version | None
) -> Rehearsal:
    """Return arguments, environment and files for the agent and the agents that it starts.

    Raises UsageError.
    """
    whole = Rehearsal()
    for name in catalogue.kind(adapter_name).runs or (adapter_name,):
        own_version = version if name == adapter_name else None
        other = adapter if name == adapter_name else catalogue.adapter_for(name)
        found = other.rehearsal(endpoint.base_url, home, cwd, own_version)
        if found is None:
            raise UsageError(f"{cli} can't be rehearsed", "only: " + ", ".join(catalogue.agents()))
        plan = found.plan if endpoint.plan else {}
        whole = Rehearsal(
            (*whole.args, *found.args), {**whole.env, **found.env, **plan}, {**whole.files, **found.files}
        )
    return whole


class Endpoint:
    """The rehearsal endpoint of a run.

    It lives while a process holds `keeper`, its standard input.
    """

    def __init__(self, script: str, run_dir: str, after: tuple[str, ...] = ()) -> None:
        script = os.path.abspath(script)
        command = [script, "--log", os.path.join(run_dir, "rehearsal.jsonl")]
        for log in after:
            command += ["--after", log]
        reader, self.keeper = os.pipe()
        try:
            self.process = subprocess.Popen(
                interpreter.command("harnex.rehearsal.__main__", *command),
                stdin=reader,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=apart_env("endpoint"),
            )
        finally:
            os.close(reader)
        assert self.process.stdout is not None and self.process.stderr is not None
        reply = jsonl.loads_dict(self.process.stdout.readline())
        if reply is None:
            os.close(self.keeper)
            words = self.process.stderr.read().decode("utf-8", "replace").strip()
            self.process.wait()
            raise UsageError(f"the rehearsal script can't be used: {words}", "its format: harnex guide")
        self.base_url = str(reply["base_url"])
        self.started = start_time(self.process.pid)
        self.plan = bool(reply.get("plan"))

    def let_go(self) -> None:
        """Close our copy of `keeper`: the supervisor holds it now."""
        os.close(self.keeper)
        self.process.returncode = 0  # the endpoint is not ours to wait for

    def end(self) -> None:
        os.close(self.keeper)
        self.process.terminate()
        self.process.wait()

"""supervisor/sweep.py: in which order the processes of a dead run end. (What belongs to a run: test_offspring.py.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harnex import process
from harnex.supervisor.sweep import end_first, sweep_now

# An agent that takes a moment to end, and goes on with the result of its tool for as long as it lives.
AGENT = """
import signal, subprocess, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(time.monotonic()))
tool = subprocess.Popen(["sleep", "60"])
print(tool.pid, flush=True)
while not asked or time.monotonic() < asked[0] + 0.3:
    if tool.poll() is not None:
        open(sys.argv[1], "w").close()
    time.sleep(0.005)
"""


def test_an_agent_does_not_see_its_tools_end(tmp_path: Path) -> None:
    took_it, run_id = tmp_path / "went on", f"test-{os.getpid()}"
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(took_it)],
        env={**os.environ, "HARNEX_RUN_ID": run_id},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdout is not None
    tool = int(agent.stdout.readline())
    tool_started, started = process.start_time(tool), process.start_time(agent.pid)
    assert started is not None
    assert end_first(agent.pid, started)
    assert tool in sweep_now(run_id)
    assert agent.wait(5) == 0 and not process.alive(tool, tool_started)
    assert not took_it.exists()
    agent.stdout.close()
    assert not end_first(agent.pid, started), "it is gone"

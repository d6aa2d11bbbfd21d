"""supervisor/tool_processes.py: the process table of this machine."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from harnex.supervisor import tool_processes


def test_the_table_of_this_machine() -> None:
    """A marked process is found with its command, its age and its parent; one that no tool marked is not."""
    env = {"HARNEX_RUN_ID": "the-run", "TOOL": "main", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "start_new_session": True}
    marked = subprocess.Popen(command, env=env, **options)
    helper = subprocess.Popen(command, env={**env, "TOOL": ""}, **options)
    other = subprocess.Popen(command, env={**env, "HARNEX_RUN_ID": "another"}, **options)
    seen: list[bool] = []

    def whose(env: Any, apart: bool) -> str:
        seen.append(apart)
        return str(env.get("TOOL") or "")

    try:
        (found,) = tool_processes.tools("the-run", 1 << 30, whose)
        assert (found.pid, found.agent, found.detached) == (marked.pid, "main", True)
        assert found.command == " ".join(command) and seen == [True, True]
        import time

        assert abs(found.since - time.time()) < 60
    finally:
        for process in (marked, helper, other):
            process.communicate()

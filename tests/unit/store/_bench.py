"""For the tests of files."""

from __future__ import annotations

import os

from harnex import process


def record(**changes: object) -> dict[str, object]:
    me = os.getpid()
    base = {
        "id": "x",
        "run_id": "r",
        "cli": "codex",
        "repo": "/r",
        "supervisor_pid": me,
        "supervisor_start": process.start_time(me),
    }
    return {**base, **changes}

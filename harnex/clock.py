"""The present: seconds that only go forward, and seconds since the epoch.

`stamp` is the present as files have it (`times` writes it).
"""

from __future__ import annotations

import time

from harnex import times

monotonic = time.monotonic
wall = time.time


def stamp() -> str:
    """Now, as `2026-11-21T05:30:12.123Z`."""
    return times.iso(wall())

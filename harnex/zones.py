"""The time zone of another process, by its `TZ`. For our own zone nobody needs this: `time` and `datetime` know it.

`TZ` is read as the C library reads it (tests/unit/test_zones.py compares them):

- a name of the zone database: `Europe/Berlin`;
- a file: `/usr/share/zoneinfo/Europe/Berlin`, `:/etc/localtime`;
- a POSIX rule: `EST5EDT`, `<+0530>-5:30`, `CET-1CEST,M3.5.0,M10.5.0/3`;
- anything else is UTC.

An empty `TZ` counts as none: the zone is that of the machine then. Not supported, and UTC here: names that are written
another way (`./Europe/Berlin`), offsets of a day and more, and broken rules of which glibc uses a part (`AAA5BBB,`).
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

MACHINE = "/etc/localtime"
# When it is summer by a rule that names a summer time and not its days. The C library takes those of the USA, too; on
# these two days glibc is some hours off, as it changes the clocks in the same second as New York.
SUMMER = ",M3.2.0,M11.1.0"
_RULE = re.compile(r"(?:[A-Za-z]{3}|<[A-Za-z0-9+-]{3})[\x21-\x7e]+")


def zone_of(env: Mapping[str, str]) -> tzinfo | None:
    """The zone of a process with this environment; None: it is ours."""
    name = env.get("TZ") or ""
    return None if name == (os.environ.get("TZ") or "") else _zone(name or MACHINE)


def _zone(name: str) -> tzinfo:
    from datetime import UTC  # only here: few agents live in another zone than we do
    from zoneinfo import ZoneInfo

    name = name.removeprefix(":")
    try:
        if not name.startswith("/"):
            return ZoneInfo(name)
        with open(name, "rb") as f:
            return ZoneInfo.from_file(f)
    except (OSError, ValueError, KeyError, struct.error):  # KeyError: there is no such name
        return _by_rule(name) or UTC


def _by_rule(rule: str) -> tzinfo | None:
    """The zone of a POSIX rule; None: it is none.

    The standard library reads a rule only as the last line of a zone's file (RFC 8536). So this makes a file that says
    no more than that line.
    """
    from datetime import datetime
    from zoneinfo import ZoneInfo

    if not _RULE.fullmatch(rule):
        return None
    # Twice, once for each version of the format: the head, the counts of what follows (one kind of time, and the four
    # bytes of its name), and that kind of time.
    part = b"TZif2" + bytes(15) + struct.pack(">6L", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"
    for line in (rule, rule + SUMMER):
        try:
            zone = ZoneInfo.from_file(io.BytesIO(part + part + b"\n" + line.encode() + b"\n"))
            for month in (1, 7):
                datetime(2026, month, 1, tzinfo=zone).utcoffset()  # an offset of a day or more is refused only here
        except ValueError:
            continue
        return zone
    return None

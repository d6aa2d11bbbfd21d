"""What a watch is to do: presets, overrides, and the values of both. Pure.

A preset is a table of `Policy`'s fields by name (`stall_after = "8m"`; `stall-after` means the
same).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from harnex import times

NUDGE = "You seem to have stopped in the middle of the task. Please go on with it until it is done."
DEFAULT = "impl"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The settings of one watch.

    Times are seconds, `deadline` is epoch seconds; None switches a setting off.

    `care`: keep the agent working (clocks, retries, limits, restarts, dialogs). Without `care`,
    only the requested limits, checks and stop apply.
    """

    preset: str = ""
    care: bool = True
    stall_after: float | None = None  # seconds without output or progress
    max_resumes: int = 0  # nudges until a turn ends well; also new processes after crashes, in all
    nudge_text: str = NUDGE
    turn_timeout: float | None = None
    deadline: float | None = None
    patience: float = 3600.0  # how long a running tool, or the CLI's own retries, excuse silence
    max_retries: int = 5  # retries of turns that ended in a provider's error that passes
    retry_after: float = 30.0  # before the first retry; doubled each time
    limit_slack: float = 60.0  # added to a reset time: the CLIs cut that time off to the minute
    restart_after: float = 2.0  # before a crashed agent is started again; doubled each time
    loop_after: int = 5  # the same call this many times in a row is a loop
    max_tokens: int | None = None
    max_cost: float | None = None
    max_calls: int | None = None
    max_turns: int | None = None
    auto_stop: bool = False
    # How long to wait for each piece of the agent's background work; 0: not at all.
    background_wait: float = 600.0
    verify: str | None = None
    verify_max: int = 3  # how often the output of a failed check goes back to the agent
    verify_timeout: float = 1800.0
    done_when: str | None = None
    notify_cmd: str | None = None
    notify_urls: tuple[str, ...] = ()

    def dump(self) -> dict[str, Any]:
        """The settings that differ from the defaults, fit for JSON."""
        defaults = Policy()
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items() if v != getattr(defaults, k)}

    def shown(self) -> dict[str, Any]:
        """The dump for others to read.

        Notification URLs hold secrets: only their number is shown.
        """
        return {k: len(v) if k == "notify_urls" else v for k, v in self.dump().items()}

    @classmethod
    def load(cls, row: Mapping[str, Any]) -> Policy:
        """The policy of a dump. Keys that an older or newer harnex wrote are ignored."""
        known = {f.name for f in dataclasses.fields(cls)}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items() if k in known}
        return cls(**values)

    @property
    def limits_calls(self) -> bool:
        """Whether a limit needs the agent's model calls."""
        return self.max_tokens is not None or self.max_cost is not None or self.max_calls is not None

    @property
    def limits(self) -> str:
        """The options of the limits that are set: `--max-tokens, --max-calls`."""
        names = ("max_tokens", "max_cost", "max_calls", "max_turns")
        return ", ".join(f"--{n.replace('_', '-')}" for n in names if getattr(self, n) is not None)

    def words(self) -> str:
        """What is in force, for a person."""
        said = [self.preset] if self.preset else []
        if self.care and self.stall_after is not None:
            said.append(f"stall after {times.duration(self.stall_after)}, {self.max_resumes} resumes")
        for name in ("turn_timeout", "max_tokens", "max_cost", "max_calls", "max_turns"):
            value = getattr(self, name)
            if value is not None:
                said.append(
                    f"{name.replace('_', ' ')} {times.duration(value) if name == 'turn_timeout' else f'{value:,}'}"
                )
        if self.verify:
            said.append(f"verify `{self.verify}`")
        if self.done_when:
            said.append(f"done when `{self.done_when}`")
        if self.auto_stop:
            said.append("stops when done")
        if self.background_wait != Policy.background_wait:
            wait = self.background_wait
            said.append(
                f"waits {times.duration(wait)} for background work" if wait else "does not wait for background work"
            )
        return ", ".join(said) or "nothing to do"


PRESETS: dict[str, dict[str, Any]] = {
    "impl": {"stall_after": 480.0, "max_resumes": 1},
    "plan": {"stall_after": 180.0, "max_resumes": 2},
    "gate": {"stall_after": 900.0, "max_resumes": 0},
}
TIMES = (
    "stall_after",
    "turn_timeout",
    "patience",
    "retry_after",
    "limit_slack",
    "restart_after",
    "verify_timeout",
    "background_wait",
)  # fmt: skip
COUNTS = ("max_resumes", "max_retries", "loop_after", "max_tokens", "max_calls", "max_turns", "verify_max")
TEXTS = ("nudge_text", "verify", "done_when", "notify_cmd")
FLAGS = ("auto_stop", "care")
KEYS = (*TIMES, *COUNTS, *TEXTS, *FLAGS, "max_cost")
# What an untrusted file may set: limits, as far as they end a run sooner. All other settings need
# consent: commands, what is said in the person's name (nudge_text), and what makes the watch do
# more or less.
HARMLESS = ("turn_timeout", "max_tokens", "max_cost", "max_calls", "max_turns")
LEAST = {"stall_after": 0.5, "loop_after": 3, "turn_timeout": 0.5, "verify_timeout": 0.1}


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's table with its values in Policy's types.

    Raises ValueError `KEY: what is wrong; what is allowed`.
    """
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in KEYS:
            raise ValueError(f"{key}: unknown key; known: {', '.join(KEYS)}")
        if name in out:
            raise ValueError(f"{key}: it is there twice")
        out[name] = _value(key, name, value)
        if name in LEAST and out[name] < LEAST[name]:
            raise ValueError(f"{key}: {value} is too little; {LEAST[name]:g} at least")
    return out


def _value(key: str, name: str, value: Any) -> Any:
    if name in FLAGS:
        if not isinstance(value, bool):
            raise ValueError(f"{key}: {value!r} is not true or false")
        return value
    if name in TEXTS:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{key}: {value!r} is not a text")
        return value
    if isinstance(value, bool):
        raise ValueError(f"{key}: {value!r} is not a number")
    if name in COUNTS:
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"{key}: {value!r} is not a whole number from 0")
        return value
    if name == "max_cost":
        if not isinstance(value, int | float) or not 0 < value < 1e9:
            raise ValueError(f"{key}: {value!r} is not an amount of US dollars above 0")
        return float(value)
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError(f'{key}: {value!r} is not a duration ("8m", "90s", 90)')
    return seconds


def _seconds(value: Any) -> float | None:
    try:
        if isinstance(value, str):
            return times.parse_duration(value)
        return times.in_range(value) if isinstance(value, int | float) else None
    except ValueError:
        return None


def choose(name: str, own: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The values of a preset.

    `own` is (file, table of presets by name), weakest first. A preset in `own` builds on the
    built-in preset of the same name, or on `impl`. Raises ValueError.
    """
    values = dict(PRESETS.get(name, PRESETS[DEFAULT]))
    known = dict.fromkeys(PRESETS)
    for path, table in own:
        for preset, keys in table.items():
            if not isinstance(keys, Mapping):
                raise ValueError(f"{path}: presets.{preset} is not a table; write it as [presets.{preset}]")
            try:
                found = checked(keys)
            except ValueError as e:
                raise ValueError(f"{path}: [presets.{preset}] {e}") from None
            known[preset] = None
            if preset == name:
                values |= found
    if name not in known:
        raise ValueError(f"there is no preset '{name}'; presets: {', '.join(known)}")
    return {"preset": name, **values}


def tightened(values: dict[str, Any], name: str, table: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`values` with the lower limits of the preset `name` in an untrusted table of presets.

    Returns those values, and the other settings of that preset, which are left out. Raises
    ValueError (`[presets.NAME] KEY: ...`).
    """
    wanted: dict[str, Any] = {}
    for preset, keys in table.items():
        if not isinstance(keys, Mapping):
            raise ValueError(f"presets.{preset} is not a table; write it as [presets.{preset}]")
        try:
            found = checked(keys)
        except ValueError as e:
            raise ValueError(f"[presets.{preset}] {e}") from None
        if preset == name:
            wanted = found
    values = dict(values)
    for key in HARMLESS:
        if key in wanted and (values.get(key) is None or wanted[key] < values[key]):
            values[key] = wanted[key]
    return values, [key for key in wanted if key not in HARMLESS]


def next_time(text: str, now: datetime) -> datetime:
    """The next local time `07:00` after `now` (aware, local), or an ISO-8601 time.

    Raises ValueError. On the day of a clock change the wall clock shows the same time: the zone's
    offset is looked up anew.
    """
    text = text.strip()
    hour, colon, minute = text.partition(":")
    if colon and len(text) <= 5 and hour.isdigit() and minute.isdigit() and len(minute) == 2:
        naive = now.replace(tzinfo=None, second=0, microsecond=0, hour=int(hour), minute=int(minute), fold=0)
        # A zone that knows its clock changes; otherwise the machine's zone.
        zone = now.tzinfo if hasattr(now.tzinfo, "key") else None
        there = [
            day.replace(tzinfo=zone) if zone is not None else day.astimezone()
            for day in (naive, naive + timedelta(days=1))
        ]
        return there[0] if there[0] > now else there[1]
    found = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    return found if found.tzinfo is not None else found.astimezone()

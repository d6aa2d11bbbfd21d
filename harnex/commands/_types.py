"""click types and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from harnex import clock, times

F = TypeVar("F", bound=Callable[..., Any])


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    """A duration such as `90`, `90s`, `15m` or `2h`, converted to seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            return times.parse_duration(value)
        except ValueError:
            self.fail(f"'{value}' is not a duration (90, 90s, 15m, 2h)", param, ctx)


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A time, in ISO-8601 or as how long ago (`2h`), converted to epoch seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            return times.moment(value, clock.wall())
        except ValueError:
            self.fail(f"'{value}' is not a time (2026-11-21T07:00, or 2h for two hours ago)", param, ctx)


SECONDS = Seconds()
MOMENT = Moment()


def which_session(f: F) -> F:
    """Decorator: add `--id`, `--repo` and `--cli`."""
    f = click.option("--cli", metavar="CLI", help="Only sessions of this agent CLI.")(f)
    f = click.option("--repo", metavar="PATH", help="Look in this repository (default: here first, then everywhere).")(
        f
    )
    return click.option("--id", "session_id", metavar="ID", help="The session's id (default: the only live one).")(f)

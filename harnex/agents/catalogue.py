"""The agent CLIs that harnex knows: those that come with it, one name each, and those that other packages add.

Nothing of a CLI but its `AgentKind` is imported before it is asked for. Entry points are looked up only for a name that
does not come with harnex, and where all names are asked for: the look-up takes longer than `harnex status`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from harnex.agents.contract import Adapter, AgentKind
from harnex.errors import HarnexError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from harnex.agents.common.record import Record
    from harnex.agents.roles import Logs


BUILT_IN = ("codex", "claude", "paseo", "demo", "generic")  # each is a folder here, with its `kind.py`
GROUP = "harnex.agents"  # of entry points


def names() -> tuple[str, ...]:
    """All names, in the order in which they are shown."""
    return (*BUILT_IN, *_added())


def is_known(name: str) -> bool:
    return name in BUILT_IN or name in _added()


@cache
def kind(name: str) -> AgentKind:
    """What is known of a CLI. Raises HarnexError for an unknown one, or if the package that adds it is broken."""
    if name in BUILT_IN:
        return cast(AgentKind, import_module(f"harnex.agents.{name}.kind").KIND)
    entry = _added().get(name)
    if entry is None:
        raise HarnexError(f"there is no agent '{name}'", "install the package that adds it")
    try:
        found = entry.load()
    except Exception as e:  # whatever goes wrong in a package of others
        raise _broken(name, f"{type(e).__name__}: {e}") from e
    if not isinstance(found, AgentKind) or found.name != name:
        raise _broken(name, f"{entry.value} is not an AgentKind of that name")
    return found


def built_in() -> Iterator[AgentKind]:
    """Lazily, those that come with harnex."""
    return map(kind, BUILT_IN)


def added() -> Iterator[AgentKind]:
    """Lazily, those that other packages add. One whose package is broken is left out."""
    for name in _added():
        with suppress(HarnexError):
            yield kind(name)


def kinds() -> Iterator[AgentKind]:
    """Lazily, all of them."""
    return chain(built_in(), added())


def built_in_and(name: str) -> Iterator[AgentKind]:
    """Lazily, those that come with harnex, and the one of this name. For what a run's agent may hold of another's: Paseo
    runs Claude Code, and so does any script."""
    yield from built_in()
    if name and name not in BUILT_IN and name in _added():
        with suppress(HarnexError):
            yield kind(name)


def agents() -> tuple[str, ...]:
    """Those that a person would name."""
    return tuple(found.name for found in kinds() if found.is_agent)


def adapter_for(name: str) -> Adapter:
    """The adapter of that name (imported only now). Raises as `kind` does."""
    return cast(Adapter, _role(name, kind(name).adapter, "ADAPTER"))


def headless_for(name: str) -> Adapter:
    """The same CLI without a terminal. Raises KeyError for one that has no such mode."""
    return cast(Adapter, _role(name, kind(name).headless, "ADAPTER"))


def logs_for(name: str) -> Logs:
    """The files that a CLI writes itself. Raises KeyError for one whose files harnex can't read."""
    return cast("Logs", _role(name, kind(name).logs, "LOGS"))


def logs_of_runs(name: str) -> list[Logs]:
    """What there may be of such files after a run of this CLI: its own, or those of the agents that it runs."""
    if not is_known(name):
        return []
    return [logs_for(other) for other in (kind(name).runs or (name,)) if kind(other).logs]


def record_of(name: str) -> type[Record]:
    """What reads a CLI's record of a conversation, for another agent that runs it. Raises KeyError if nothing does."""
    return cast("type[Record]", _role(name, kind(name).record, "RECORD"))


def name_for(command: str) -> str:
    """The adapter for a command as a person typed it: a known name, the path of one, or `generic`."""
    base = command.rsplit("/", 1)[-1]
    return base if is_known(base) else "generic"


def price_provider(name: str | None) -> str | None:
    """Who sells the models of a CLI; None if that is not known."""
    try:
        return (kind(name).price_provider or None) if name else None
    except HarnexError:
        return None


def signals(name: str) -> tuple[str, ...]:
    """`AgentKind.signals`, () for an unknown CLI."""
    try:
        return kind(name).signals
    except HarnexError:
        return ()


@cache
def _added() -> dict[str, EntryPoint]:
    """The entry points by name. None of them replaces a CLI that comes with harnex, nor one that another has added."""
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name not in BUILT_IN:
            found.setdefault(entry.name, entry)
    return found


def _role(name: str, module: str, attribute: str) -> Any:
    """What a CLI offers for a role. Raises KeyError if it has none."""
    if not module:
        raise KeyError(name)
    try:
        return getattr(import_module(module), attribute)
    except Exception as e:
        if name in BUILT_IN:
            raise
        raise _broken(name, f"{type(e).__name__}: {e}") from e


def _broken(name: str, why: str) -> HarnexError:
    entry = _added()[name]
    package = entry.dist.name if entry.dist is not None else entry.value
    return HarnexError(
        f"the agent '{name}' of the package {package} can't be used: {why}", "mend the package, or uninstall it"
    )

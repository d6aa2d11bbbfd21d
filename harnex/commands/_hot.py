"""Options of the commands that scripts call in loops: described once, parsed in two ways.

`parse` handles a well-formed command line without click, because importing click takes longer than
the rest of the command. A command line that `parse` does not understand (`--help`, a mistake) goes
to the click command that `as_click` builds from the same table, so both parsers agree.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    import click


class Option:
    """One option. `kind` is flag, text, seconds, integer or choice.

    The value of an option that is not given is None (False for a plain flag).
    """

    __slots__ = ("choices", "help", "kind", "metavar", "name", "names")

    def __init__(self, name: str, kind: str, help: str, choices: tuple[str, ...] = (), metavar: str = "") -> None:
        self.name = name  # `--wait-for-idle`, or `--relay/--no-relay` for a flag with two forms
        self.names = name.split("/")
        self.kind, self.help, self.choices, self.metavar = kind, help, choices, metavar

    @property
    def key(self) -> str:
        return self.names[0].lstrip("-").replace("-", "_")


ID = Option("--id", "text", "The session's id (default: the only live one).", metavar="ID")
REPO = Option("--repo", "text", "Look in this repository (default: here first, then everywhere).", metavar="PATH")
CLI = Option("--cli", "text", "Only sessions of this agent CLI.", metavar="CLI")


def parse(argv: list[str], options: tuple[Option, ...]) -> dict[str, Any] | None:
    """Return the values by key, or None if click must parse the command line."""
    values: dict[str, Any] = {o.key: False if o.kind == "flag" and len(o.names) == 1 else None for o in options}
    by_name = {name: o for o in options for name in o.names}
    todo = list(argv)
    todo.reverse()
    while todo:
        word = todo.pop()
        name, equals, value = word.partition("=")
        option = by_name.get(name)
        if option is None:
            return None
        if option.kind == "flag":
            if equals:
                return None
            values[option.key] = name == option.names[0]
            continue
        if not equals:
            if not todo:
                return None
            value = todo.pop()
        if option.kind == "text" or (option.kind == "choice" and value in option.choices):
            values[option.key] = value
        elif option.kind == "seconds":
            from harnex.times import parse_duration

            try:
                values[option.key] = parse_duration(value)
            except ValueError:
                return None
        elif option.kind == "integer" and value.isdigit():
            values[option.key] = int(value)
        else:
            return None
    return values


def as_click(module: ModuleType) -> click.Command:
    """Return the click command of a hot module (`NAME`, `HELP`, `OPTIONS`, `run(**values)`)."""
    import click

    from harnex.commands._types import SECONDS

    types: dict[str, Any] = {"seconds": SECONDS, "integer": click.IntRange(min=0), "text": str}
    parameters: list[click.Parameter] = []
    for option in module.OPTIONS:
        if option.kind == "flag":
            two = len(option.names) > 1
            parameters.append(
                click.Option([option.name], is_flag=True, default=None if two else False, help=option.help)
            )
            continue
        kind = click.Choice(option.choices) if option.kind == "choice" else types[option.kind]
        parameters.append(click.Option([option.name], type=kind, help=option.help, metavar=option.metavar or None))

    def callback(**values: Any) -> int:
        code = module.run(**values)
        return int(code)

    return click.Command(module.NAME, params=parameters, callback=callback, help=module.HELP)

"""The documents are true of the code: every command, event, exit code and option that they must name is named."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import pytest

from harnex import errors
from harnex.commands import _group
from harnex.machines import waiting
from harnex.model import events, facts

ROOT = Path(__file__).parents[2]
TECHNICAL = (ROOT / "TECHNICAL.md").read_text()
EVENTS = (ROOT / "harnex" / "model" / "EVENTS.md").read_text()
GUIDE = (ROOT / "GUIDE.md").read_text()
README = (ROOT / "README.md").read_text()
AGENTS_GUIDE = (ROOT / "AGENTS-GUIDE.md").read_text()


def commands() -> dict[str, click.Command]:
    context = click.Context(_group.group)
    found = {name: _group.group.get_command(context, name) for name in _group.COMMANDS}  # type: ignore[attr-defined]
    return {name: command for name, command in found.items() if command is not None}


def test_every_event_type_and_field_is_in_the_table() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", EVENTS, re.M))
    for name, kind in events.EVENT_TYPES.items():
        fields = {"from" if f.name == kind.from_field else f.name for f in dataclasses.fields(kind)}
        assert name in rows, f"model/EVENTS.md does not list the event {name}"
        assert fields <= set(re.findall(r"`(\w+)`", rows[name])), name


def test_every_command_is_documented_and_has_help() -> None:
    listed = {p.stem for p in (ROOT / "harnex" / "commands").glob("*.py") if not p.stem.startswith("_")}
    listed = {name.replace("_", "-") for name in listed}
    assert listed == set(_group.COMMANDS)
    for name, command in commands().items():
        assert f"`{name}" in TECHNICAL, name
        assert f"`{name}" in README, name
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


def test_every_option_that_the_guide_names_exists() -> None:
    known = {o for c in commands().values() for p in c.params for o in (*p.opts, *p.secondary_opts)} | {
        "--help",
        "--version",
    }
    allowed = {
        "--user",
        "--now",
        "--check",
        "--mode",
        "--dangerously-skip-permissions",
        "--permission-mode",
        "--schema",
        "--resume",
    }
    for text in (GUIDE, README, AGENTS_GUIDE):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
        assert named <= known | allowed, named - known - allowed


@pytest.mark.parametrize("text", [GUIDE, README, AGENTS_GUIDE])
def test_every_harnex_line_in_the_documents_parses(text: str) -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    used = [m[1] for line in lines if (m := re.search(r"\bharnex (\w[\w-]*)", line))]
    assert used
    assert set(used) <= set(_group.COMMANDS)


def test_states_dialogs_reasons_and_exit_codes_are_in_the_guide() -> None:
    for state in facts.State:
        assert f"`{state.value}`" in GUIDE, state
    for dialog in facts.DIALOGS:
        assert f"`{dialog}`" in GUIDE, dialog
    for reason in events.EXIT_REASONS:
        assert f"`{reason}`" in GUIDE, reason
    for code in errors.EXIT_CODES:
        assert re.search(rf"\b{code} \w", GUIDE), code
        assert f"| {code} |" in AGENTS_GUIDE, code
    for until in waiting.UNTIL:
        assert until in GUIDE, until


def test_the_hot_verbs_mean_the_same_to_both_parsers() -> None:
    from harnex.commands import _hot, send, status

    for module, argv in (
        (send, ["--id", "x", "--message=a b", "--wait-for-idle", "--timeout", "5m", "--no-relay"]),
        (status, ["--json", "--all", "--cli", "codex"]),
    ):
        command = _hot.as_click(module)
        seen: dict[str, object] = {}
        command.callback = lambda seen=seen, **values: seen.update(values)  # type: ignore[misc]
        command.main(args=argv, standalone_mode=False)
        assert _hot.parse(argv, module.OPTIONS) == seen
    for bad in (["--nope"], ["--timeout", "soon"], ["--id"], ["word"], ["--force=1"]):
        assert _hot.parse(bad, send.OPTIONS) is None

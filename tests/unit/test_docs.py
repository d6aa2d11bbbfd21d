"""The documents are true of the code: every command, event, exit code and option that they must name is named."""

from __future__ import annotations

import dataclasses
import re
import shlex
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
        "--permission",
        "--dangerously-skip-permissions",
        "--permission-mode",
        "--schema",
        "--resume",
    }
    for text in (GUIDE, README, AGENTS_GUIDE):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
        assert named <= known | allowed, named - known - allowed


def typed(text: str) -> list[list[str]]:
    """The words of every `harnex` command in the shell blocks of a document."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        block = re.sub(r"<<'EOF'\n.*?\nEOF$", "", block, flags=re.S | re.M)
        for line in block.splitlines():
            lexer = shlex.shlex(re.sub(r"\$\(|\)$", " ; ", line), posix=True, punctuation_chars="|;<>&")
            lexer.whitespace_split = True
            command: list[str] = []
            for word in [*lexer, ";"]:
                if set(word) <= set("|;<>&"):
                    if command and command[0].rpartition("/")[2] == "harnex":
                        found.append(command[1:])
                    command = []
                else:
                    command.append(word)
    return found


@pytest.mark.parametrize("text", [GUIDE, README, AGENTS_GUIDE], ids=["guide", "readme", "agents-guide"])
def test_every_harnex_command_in_the_documents_parses(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, options and the types of their values: all that click checks before a command runs."""
    monkeypatch.chdir(tmp_path)  # no file that a document names is here
    lines = typed(text)
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S))
    assert len(lines) >= len(re.findall(r"^harnex ", blocks, re.M)) > 3
    for name, *words in lines:
        command = commands()[name]
        try:
            command.make_context(name, list(words))
        except click.UsageError as e:
            raise AssertionError(f"harnex {name} {words}: {e.format_message()}") from e


def test_states_dialogs_reasons_and_exit_codes_are_in_the_guide() -> None:
    for state in facts.State:
        assert f"`{state.value}`" in GUIDE, state
    for dialog in facts.DIALOGS:
        assert f"`{dialog}`" in GUIDE, dialog
    for reason in events.EXIT_REASONS:
        assert f"`{reason}`" in GUIDE, reason
    for code in errors.EXIT_CODES:
        assert f"| {code} |" in GUIDE, code
        assert f"| {code} |" in AGENTS_GUIDE, code
    for until in waiting.UNTIL:
        assert until in GUIDE, until


@pytest.mark.parametrize("name", ["GUIDE.md", "README.md", "AGENTS-GUIDE.md"])
def test_every_link_leads_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)", prose, re.M)
    }
    links = re.findall(r"\]\(([^)]+)\)", prose)
    for link in links:
        if link.startswith("#"):
            assert link[1:] in headings, link
        else:
            assert (ROOT / link).exists(), link


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

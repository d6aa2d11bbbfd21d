"""The face of harnex, written down: help texts, errors, the keys of every JSON, and the
order of the last writes.

The golden files are in `tests/golden/face/`. After an intended change:

    HARNEX_GOLDEN_WRITE=1 pytest tests/e2e/test_golden_face.py

Read the diff before you commit it: each changed line is a change for a user, a script or a
reader of harnex's files.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Harnex, leftovers
from tests.golden.play import Play

FACE = Path(__file__).parents[1] / "golden" / "face"
WRITE = bool(os.environ.get("HARNEX_GOLDEN_WRITE"))
# Wrong command lines; HERE is a directory without sessions.
WRONG = (
    "frobnicate",
    "statsu",
    "--nope",
    "run",
    "run codex --permissions perhaps",
    "run sh --detach --timeout soon",
    "run sh --detach --id ../x",
    "run sh --detach --size big",
    "run sh --watch --deadline 25:00",
    "run sh --detach --max-tokens 10",
    "run no-such-program --detach",
    "exec",
    "exec claude",
    "send --id nobody --message x",
    "send --message",
    "wait --id nobody",
    "wait --timeout soon",
    "wait --until dinner",
    "stop --id nobody",
    "status --id nobody",
    "status --nope",
    "events --after x",
    "events --id nobody",
    "approve --option 0",
    "usage --by moon",
    "usage --json --csv",
    "usage --from claude nowhere.jsonl",
    "history --since whenever",
    "report",
    "recover --since whenever",
    "detect nowhere.txt",
    "pane --id nobody",
    "logs --id nobody",
    "prune --older-than soon",
    "trust nowhere",
)


def changes(folder: str, texts: dict[str, str]) -> list[str]:
    """Return how the texts differ from the golden files of this folder, as a diff.

    With WRITE the texts are written, and nothing differs.
    """
    directory = FACE / folder
    if WRITE:
        directory.mkdir(parents=True, exist_ok=True)
        for path in directory.glob("*.txt"):
            if path.stem not in texts:
                path.unlink()
        for name, text in texts.items():
            (directory / f"{name}.txt").write_text(text)
    golden = {path.stem: path.read_text() for path in directory.glob("*.txt")}
    found: list[str] = []
    for name in sorted({*golden, *texts}):
        old, new = golden.get(name, ""), texts.get(name, "")
        lines = difflib.unified_diff(old.split("\n"), new.split("\n"), f"{folder}/{name}.txt", "now", lineterm="", n=1)
        found += lines if old != new else []
    return found


def compare(*lists: list[str]) -> None:
    found = [line for lines in lists for line in lines]
    if found:
        pytest.fail("\n".join(["harnex shows another face than the golden files:", *found]), pytrace=False)


@pytest.fixture
def screen(harnex: Harnex) -> Harnex:
    """A place with a terminal's width and no colours."""
    harnex.env |= {"COLUMNS": "100", "NO_COLOR": "1"}
    return harnex


def test_the_help_of_each_command(screen: Harnex) -> None:
    import click

    from harnex.commands._group import group

    def paths(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from paths(inner, (*words, name))

    texts = {"-".join(("harnex", *words)): screen.ok(*words, "--help") for words in paths(group, ())}
    compare(changes("help", texts))


def test_the_words_for_wrong_command_lines(screen: Harnex) -> None:
    parts = []
    for line in WRONG:
        done = screen.run(*line.split())
        shown = f"$ harnex {line}\nexit code {done.returncode}\n"
        shown += "".join(f"out: {row}\n" for row in done.stdout.splitlines())
        shown += "".join(f"err: {row}\n" for row in done.stderr.splitlines())
        parts.append(shown.replace(str(screen.work), "HERE").replace(str(screen.state), "STATE"))
    compare(changes("errors", {"wrong-command-lines": "\n".join(parts)}))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    place = Harnex(tmp_path_factory.mktemp("face"))
    play = Play(place)
    try:
        play.play()
        yield play
    finally:
        for record in play.records():
            place.run("stop", "--force", "--id", record["run_id"])
        words = leftovers(place)
    assert words == []


@pytest.mark.timeout(300)
def test_keys_types_and_the_order_at_the_end(played: Play) -> None:
    ends = {name: "\n".join(lines) + "\n" for name, lines in played.ends.items()}
    compare(changes("documents", played.documents()), changes("ends", ends))

"""The golden files of the corpus hold: facts, states, events of each case, and what `usage --from` prints of its logs.

`python -m tests.golden` rewrites them after an intended change. How they are made: `tests/golden/`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import corpus, usage
from tests.golden.__main__ import PARTS
from tests.golden.corpus import Lines
from tests.golden.files import GOLDEN, differences, golden_names
from tests.golden.text import STRING_MAX, difference, string
from tests.replay import case_paths

BYTES_MAX = 6_000_000
pytestmark = pytest.mark.timeout(300)  # a version is up to 6 s of work, and much longer on a machine that others use


def name_of(path: Path) -> str:
    return "/".join(path.parts[-2:])


def fail_if(words: str) -> None:
    """The difference as it is: pytest would cut and escape a compared string."""
    if words:
        pytest.fail(words, pytrace=False)


@pytest.mark.parametrize("folder", corpus.versions(), ids=name_of)
def test_facts_states_and_events_are_the_golden_ones(folder: Path) -> None:
    fail_if(differences(corpus.files_of(folder)))


def test_the_fields_and_defaults_of_facts_and_events_are_the_golden_ones() -> None:
    fail_if(differences([("corpus/shapes.txt", corpus.shapes_text())]))


@pytest.mark.parametrize("name", usage.names())
def test_usage_of_the_logs_is_the_golden_one(name: str) -> None:
    fail_if(differences([(name, usage.text_of(*usage.names()[name]))]))


def test_each_golden_file_is_compared_and_each_case_has_one() -> None:
    there = golden_names(PARTS["corpus"])
    runs = {f"corpus/{'/'.join(path.parts[-3:])}.txt" for path in case_paths()}
    execs = {f"corpus/{name_of(f)}/{path.name}.txt" for f in corpus.versions() for path in f.glob("exec-*")}
    screens = {f"corpus/{name_of(folder)}/screens.txt" for folder in corpus.versions()}
    assert there == runs | execs | screens | {"corpus/shapes.txt"}
    assert len(runs) > 300
    assert golden_names(PARTS["usage"]) == set(usage.names())


def test_the_golden_files_are_small() -> None:
    files = [GOLDEN / name for part in PARTS.values() for name in golden_names(part)]
    assert sum(path.stat().st_size for path in files) < BYTES_MAX


def test_a_change_at_the_end_of_a_long_string_shows() -> None:
    long = "word " * STRING_MAX
    assert string(long + "a") != string(long + "b")
    assert len(string(long)) < STRING_MAX + 30
    assert "\n" not in string("a\nb\u2028c\x85d\ud800")


def test_equal_facts_in_a_row_are_counted_and_nothing_else() -> None:
    lines = Lines()
    for at, kind, content in [(0, "fact", "A()"), (1, "fact", "A()"), (2, "fact", "B()"), (3, "fact", "A()")]:
        lines.add(at, kind, content)
    lines.add(4, "event", "x")
    lines.add(5, "event", "x")
    assert [line.split() for line in lines.text().split("\n")] == [
        ["0.000", "fact", "A()", "x2", "until", "1.000"],
        ["2.000", "fact", "B()"],
        ["3.000", "fact", "A()"],
        ["4.000", "event", "x"],
        ["5.000", "event", "x"],
        [],
    ]


def test_a_difference_shows_the_lines_that_differ() -> None:
    golden = "".join(f"line {n}\n" for n in range(300))
    words = difference("x.txt", golden, golden.replace("line 7\n", "line seven\n"))
    assert words.split("\n")[3:] == [" line 6", "-line 7", "+line seven", " line 8"]
    assert "more changed lines in x.txt" in difference("x.txt", golden, golden.replace("line", "row"))
    assert difference("x.txt", golden, golden) == ""

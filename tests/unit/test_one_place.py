"""What must stand in one place in the code does: no other module calls git, or starts a Python of its own."""

from __future__ import annotations

import re
from pathlib import Path

import harnex

PACKAGE = Path(harnex.__file__).parent


def modules_with(pattern: str) -> set[str]:
    found = re.compile(pattern)
    return {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if found.search(re.sub(r'"""(?s:.*?)"""|#.*', "", path.read_text()))
    }


def test_harnex_starts_python_in_one_place() -> None:
    assert modules_with(r"sys\.executable") == {
        "interpreter.py",
        "launch/environment.py",  # what `harnex run demo` names as its program
        "commands/doctor.py",  # says which Python it is
    }
    assert modules_with(r'"-m", "harnex') == set()


def test_harnex_calls_git_in_one_place() -> None:
    assert modules_with(r'\[\s*"git"|which\("git"') == {"git.py"}


def test_recipes_start_python_isolated() -> None:
    """They run in a repository: without `-I` a `json.py` there would be run."""
    recipes = Path(__file__).parents[2] / "recipes"
    for path in recipes.glob("*.sh"):
        assert re.findall(r"\bpython3? -(?!I )", path.read_text()) == [], path.name


def test_the_supervisor_registers_the_children_that_it_waits_for() -> None:
    """It reaps every other child: an exit status that it takes by mistake is lost."""
    started = {name for name in modules_with(r"subprocess\.(Popen|run|check_\w+)\(") if name.startswith("supervisor/")}
    assert started == {"supervisor/processes.py"}
    text = (PACKAGE / "supervisor" / "processes.py").read_text()
    assert len(re.findall(r"subprocess\.Popen\(", text)) == len(re.findall(r"mine\(\s*subprocess\.Popen\(", text)) == 1

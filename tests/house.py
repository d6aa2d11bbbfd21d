"""`python tests/house.py`: the counts by which the house is judged. Fails if a
count is worse than its limit.

It reads `harnex/` as text and syntax, without importing it:

- import circles, with imports in functions and under TYPE_CHECKING;
- reach-throughs: `session.x.y` outside of supervisor/session.py;
- `Any` and `dict[str, Any]`, which are for JSON that others wrote;
- the names of CLIs outside of their folders;
- files, functions and parameter lists that are too long.

When a count gets better, lower its limit in LIMITS, so that nothing that was reached is lost again.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "harnex"

LINES_A_FILE, LINES_A_FUNCTION, PARAMETERS = 400, 60, 6
OWN_NAMES = ("agents/", "rehearsal/endpoint/")  # folders in which a CLI may be named

LIMITS = {
    "import circles": 0,
    "reach-throughs into the session": 0,
    "Any": 658,
    "dict[str, Any]": 456,
    "modules that name a CLI": 0,
    f"files over {LINES_A_FILE} lines": 13,
    f"functions over {LINES_A_FUNCTION} lines": 3,
    f"functions with more than {PARAMETERS} parameters": 17,
}

Trees = dict[str, ast.Module]  # by module name


def modules() -> dict[str, Path]:
    """Return the modules of the package by their dotted names."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Yield the modules that a module imports, anywhere in its code. Lazy.

    All imports are absolute (ruff's TID ensures that).
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module


def circles(trees: Trees) -> list[list[str]]:
    """Return the sets of modules that import each other in a circle (Tarjan's
    strongly connected components)."""
    edges = {name: {t for t in imports(tree, set(trees)) if t in trees and t != name} for name, tree in trees.items()}
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for target in edges[name]:
            if target not in number:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], number[target])
        if low[name] == number[name]:
            at = stack.index(name)
            part = stack[at:]
            del stack[at:]
            if len(part) > 1:
                found.append(sorted(part))

    for name in edges:
        if name not in number:
            visit(name)
    return found


def names_a_cli(tree: ast.Module) -> bool:
    """Whether code (not its docstrings) holds the name of a CLI that has a folder."""
    documents = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                documents.add(first.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documents:
            if node.value in ("claude", "codex", "paseo"):
                return True
        elif isinstance(node, ast.ImportFrom) and re.match(r"harnex\.agents\.(claude|codex|paseo)", node.module or ""):
            return True
    return False


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def parameters(function: ast.FunctionDef) -> int:
    """Return how many parameters a caller gives by position or by name, without `self`."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([a for a in given if a.arg not in ("self", "cls")])


def found() -> dict[str, list[str]]:
    """Return what is counted, each count with its places."""
    paths = modules()
    texts = {name: path.read_text() for name, path in paths.items()}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    short = {name: str(path.relative_to(PACKAGE)) for name, path in paths.items()}
    all_functions = [(f"{short[name]}:{f.lineno} {f.name}", f) for name, tree in trees.items() for f in functions(tree)]

    def places(pattern: str, but: str = "") -> list[str]:
        return [
            f"{short[name]}:{n}"
            for name, text in texts.items()
            if short[name] != but
            for n, line in enumerate(text.splitlines(), 1)
            if not line.lstrip().startswith(("from ", "import "))
            for _ in re.finditer(pattern, line.partition("#")[0])
        ]

    return {
        "import circles": [" ".join(short[name] for name in part) for part in circles(trees)],
        "reach-throughs into the session": places(r"\b_?session\.(?!cast\b)\w+\.\w+", "supervisor/session.py"),
        "Any": places(r"\bAny\b"),
        "dict[str, Any]": places(r"dict\[str, Any\]"),
        "modules that name a CLI": [
            short[name] for name, tree in trees.items() if not short[name].startswith(OWN_NAMES) and names_a_cli(tree)
        ],
        f"files over {LINES_A_FILE} lines": [
            f"{short[name]} {len(text.splitlines())}"
            for name, text in texts.items()
            if len(text.splitlines()) > LINES_A_FILE
        ],
        f"functions over {LINES_A_FUNCTION} lines": [
            f"{place} {(f.end_lineno or f.lineno) - f.lineno + 1}"
            for place, f in all_functions
            if (f.end_lineno or f.lineno) - f.lineno + 1 > LINES_A_FUNCTION
        ],
        f"functions with more than {PARAMETERS} parameters": [
            f"{place} {parameters(f)}" for place, f in all_functions if parameters(f) > PARAMETERS
        ],
    }


def main(words: list[str]) -> int:
    """Print the counts. With words, also print the places of the counts whose
    name has one of the words."""
    paths = modules()
    lines = sum(len(path.read_text().splitlines()) for path in paths.values())
    print(f"{len(paths)} modules, {lines:,} lines")
    worse = 0
    for name, places in found().items():
        limit = LIMITS[name]
        mark = "" if len(places) == limit else "  WORSE" if len(places) > limit else "  better: lower the limit"
        print(f"{len(places):5d} of {limit:<5d} {name}{mark}")
        worse += len(places) > limit
        if len(places) > limit <= 10 or any(word in name for word in words):
            print("".join(f"        {place}\n" for place in places), end="")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

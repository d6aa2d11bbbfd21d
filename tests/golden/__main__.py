"""`python -m tests.golden [PART...]` rewrites the golden files after an intended change.

It prints what changed.
"""

from __future__ import annotations

import sys

from tests.golden import corpus, usage
from tests.golden.files import Part, golden_names, path_of, read
from tests.golden.text import changed_lines

PARTS: dict[str, Part] = {"corpus": corpus, "usage": usage}


def rewrite(part: Part) -> tuple[int, int]:
    """Write the files of a part, and remove files that the part no longer has.

    Returns how many files there are, and how many changed.
    """
    names, changed = set[str](), 0
    for name, text in part.files():
        names.add(name)
        before = read(name)
        if before == text:
            continue
        changed += 1
        path = path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        print(f"new      {name}" if before is None else f"changed  {name}: {changed_lines(before, text)} lines")
    for name in sorted(golden_names(part) - names):
        path_of(name).unlink()
        changed += 1
        print(f"removed  {name}")
    return len(names), changed


def main(words: list[str]) -> int:
    if unknown := [word for word in words if word not in PARTS]:
        print(f"there is no part {', '.join(unknown)}: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for word in words or PARTS:
        files, changed = rewrite(PARTS[word])
        print(f"{word}: {changed} of {files} files changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

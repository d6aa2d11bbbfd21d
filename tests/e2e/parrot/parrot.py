"""An agent CLI that harnex does not know.

It repeats a person's words, declares its state by OSC 7501, and logs its calls.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path


def declare(state: str) -> None:
    sys.stdout.write(f"\x1b]7501;state={state}\x1b\\")
    sys.stdout.flush()


def main() -> int:
    if sys.argv[1:] == ["--version"]:
        print("Parrot 3.1.4")
        return 0
    session = os.environ.get("PARROT_SESSION", "alone")
    log = Path(os.environ["HOME"], ".parrot", "talks", f"{session}.jsonl")
    log.parent.mkdir(parents=True, exist_ok=True)

    def note(**row: object) -> None:
        row |= {"at": datetime.now(UTC).isoformat(), "cwd": os.getcwd()}
        with log.open("a") as f:
            f.write(json.dumps(row) + "\n")

    for number in range(1, 1000):
        declare("idle")
        sys.stdout.write("parrot> ")
        sys.stdout.flush()
        words = sys.stdin.readline()
        if not words:
            return 0
        declare("working")
        note(kind="prompt", text=words.strip())
        answer = words.strip().upper() if "--loud" in sys.argv else words.strip()
        print(answer)
        sizes = {"in": len(words), "out": len(answer)}
        note(kind="answer", id=f"{session[:8]}-{number}", model="claude-sonnet-4-5", text=answer, **sizes)
    return 0


sys.exit(main())

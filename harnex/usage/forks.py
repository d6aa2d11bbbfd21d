"""Work on many files, shared between processes: forked ones, which take the next number from a pipe. No threads."""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
import tempfile
from collections.abc import Callable
from typing import Any

MOST = 8  # processes; more only wait for the disk
SHARES = 8000  # numbers that a pipe takes at once (64 KB)


def cores() -> int:
    """How many this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(work: Callable[[int], Any], count: int, processes: int, finish: Callable[[], None]) -> list[Any]:
    """`[work(0), …, work(count - 1)]`, of plain values (what `marshal` takes), done by so many processes, this one among
    them. `finish` is called in each of the others at its end. What a process that died had in hand is done here."""
    share = -(-count // SHARES)  # neighbours that are taken together
    take, give = os.pipe()
    os.write(give, b"".join(n.to_bytes(8, "little") for n in range(0, count, share)))
    os.close(give)

    def mine() -> dict[int, Any]:
        done = {}
        while number := os.read(take, 8):
            first = int.from_bytes(number, "little")
            for n in range(first, min(first + share, count)):
                done[n] = work(n)
        return done

    children: dict[int, Any] = {}
    results: dict[int, Any] = {}
    try:
        for _ in range(min(processes, MOST) - 1):
            out = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it was read
            pid = os.fork()
            if pid == 0:
                _child(mine, out, finish)
            children[pid] = out
        results = mine()
        for pid, out in list(children.items()):
            _, status = os.waitpid(pid, 0)
            del children[pid]
            with out:
                out.seek(0)
                if status == 0:
                    results.update(marshal.load(out))
    finally:
        os.close(take)
        for pid, out in children.items():  # an error or Ctrl-C here
            out.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return [results[n] if n in results else work(n) for n in range(count)]


def _child(mine: Callable[[], dict[int, Any]], out: Any, finish: Callable[[], None]) -> None:
    """The other process: never returns, and says nothing; whatever goes wrong, its share is done by the first one."""
    code = 1
    try:
        marshal.dump(mine(), out)
        out.flush()
        finish()
        code = 0
    finally:
        os._exit(code)

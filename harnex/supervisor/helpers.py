"""Commands that a reader wants run beside the agent (`RunCommand`): polled child
processes, never waited for.

They carry the run's marker in their environment, so that the sweep ends what
a killed supervisor left.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from harnex.model.facts import CommandResult, RunCommand
from harnex.supervisor.processes import Polled

OUTPUT_MAX = 4 << 20  # bytes of output that are read
# SIGCHLD wakes the loop when a command ends. This interval is for a missed signal.
LOOK_S = 0.5


@dataclass(slots=True)
class _Running:
    wanted: RunCommand
    process: Polled
    out: IO[bytes]
    err: IO[bytes]
    deadline: float


class Helpers:
    """Runs the commands. `poll` returns the results of those that ended; `wake_at` says
    when time alone would matter."""

    def __init__(self, env: Mapping[str, str], cwd: str) -> None:
        self._env = dict(env)
        self._cwd = cwd
        self._waiting: dict[str, tuple[float, RunCommand]] = {}
        self._running: dict[str, _Running] = {}

    def take(self, fact: RunCommand, now: float) -> None:
        """Run a command when it is due."""
        at = now + fact.after_s
        old = self._waiting.get(fact.name)
        self._waiting[fact.name] = (min(at, old[0]) if old is not None else at, fact)

    def wake_at(self, now: float) -> float | None:
        times = [at for name, (at, _) in self._waiting.items() if name not in self._running]
        times += [min(r.deadline, now + LOOK_S) for r in self._running.values()]
        return min(times, default=None)

    def poll(self, now: float) -> list[CommandResult]:
        """Start what is due, end what took too long, and return the results of what ended."""
        results = [self._finish(r, now) for r in list(self._running.values()) if _over(r, now)]
        for name, (at, wanted) in list(self._waiting.items()):
            if name not in self._running and now >= at:
                del self._waiting[name]
                failed = self._start(wanted, now)
                if failed is not None:
                    results.append(failed)
        return results

    def _start(self, wanted: RunCommand, now: float) -> CommandResult | None:
        import subprocess  # imported only here, like tempfile: most sessions run no commands
        import tempfile

        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  (open until it ended)
        try:
            if wanted.file is not None:
                path, text = wanted.file
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
                    f.write(text)
            process = Polled(wanted.argv, (subprocess.DEVNULL, out, err), self._env, self._cwd)
        except (OSError, ValueError) as e:  # ValueError: a zero byte
            why = os.strerror(e.errno) if isinstance(e, OSError) and e.errno else str(e)
            self._clear(wanted, out, err)
            return CommandResult(wanted.name, None, problem=f"can't run {wanted.argv[0]}: {why}")
        self._running[wanted.name] = _Running(wanted, process, out, err, now + wanted.timeout_s)
        return None

    def _finish(self, running: _Running, now: float) -> CommandResult:
        wanted, code = running.wanted, running.process.code()
        problem = ""
        if code is None:
            problem = f"no answer within {wanted.timeout_s:g} s"
            running.process.end()
        elif code < 0:
            problem, code = f"ended by signal {-code}", None
        texts = []
        for stream in (running.out, running.err):
            stream.seek(0)
            texts.append(stream.read(OUTPUT_MAX).decode("utf-8", "replace"))
        del self._running[wanted.name]
        self._clear(wanted, running.out, running.err)
        return CommandResult(wanted.name, code, texts[0], texts[1], problem)

    def _clear(self, wanted: RunCommand, *streams: IO[bytes]) -> None:
        for stream in streams:
            stream.close()
        if wanted.file is not None:
            with contextlib.suppress(OSError):
                os.unlink(wanted.file[0])

    def close(self) -> None:
        """The session has ended: no command is wanted any more."""
        self._waiting.clear()
        for running in list(self._running.values()):
            running.process.end()
            self._clear(running.wanted, running.out, running.err)
        self._running.clear()


def _over(running: _Running, now: float) -> bool:
    return running.process.code() is not None or now >= running.deadline

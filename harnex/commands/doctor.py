"""`harnex doctor`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import click

from harnex import __version__, errors, jsonl, output, paths, process
from harnex.errors import HarnexError
from harnex.store import registry

ROOM_WARN, ROOM_ERROR = 1 << 30, 64 << 20  # bytes free for recordings and events


@dataclass(frozen=True)
class Check:
    """One finding. `mend` says what to do about it; "" if nothing is needed."""

    what: str
    status: Literal["ok", "warning", "error"]
    found: str
    mend: str = ""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="An object with all checks.")
def command(as_json: bool) -> int:
    """Check what harnex needs, say what is wrong and how to mend it. Exit code 1 if anything is an error."""
    checks = [check for look in LOOKS for check in _safely(look)]
    failed = any(c.status == "error" for c in checks)
    if as_json:
        sys.stdout.write(jsonl.dumps({"ok": not failed, "checks": [asdict(c) for c in checks]}) + "\n")
        return errors.FAILED if failed else errors.DONE
    colour = (
        {"ok": "32", "warning": "33", "error": "31"} if sys.stdout.isatty() and "NO_COLOR" not in os.environ else {}
    )
    width = max(len(c.what) for c in checks)
    for c in checks:
        output.draw(sys.stdout, f"\x1b[{colour[c.status]}m{c.status:7}{output.PLAIN}" if colour else f"{c.status:7}")
        print(f"  {c.what.ljust(width)}  {c.found}")
        if c.mend:
            print(f"{'':7}  {'':{width}}  → {c.mend}")
    return errors.FAILED if failed else errors.DONE


def _safely(look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Yield the checks of one look, lazily.

    A look that fails is reported as an error; the others still run.
    """
    try:
        yield from look()
    except HarnexError as e:
        yield Check(look.__name__.replace("_", " "), "error", e.message, e.hint)
    except OSError as e:
        yield Check(look.__name__.replace("_", " "), "error", str(e))


def harnex_itself() -> Iterator[Check]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("harnex", "ok", f"{__version__}, Python {python}, {sys.executable}")


def terminal_tools() -> Iterator[Check]:
    tmux = shutil.which("tmux")
    if tmux is None:
        yield Check("tmux", "warning", "not on the PATH", "needed only for `run --tmux`: install tmux")
    else:
        done = subprocess.run([tmux, "-V"], capture_output=True, text=True, check=False, timeout=10)
        yield Check("tmux", "ok", done.stdout.strip())
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        yield Check("TERM", "warning", f"'{term}'", "agents get xterm-256color instead; attach needs a real terminal")
    else:
        yield Check("TERM", "ok", term)


def agents() -> Iterator[Check]:
    """Check each agent CLI: is it installed, and was its version measured?"""
    from harnex.agents import catalogue
    from harnex.launch import environment, versions

    state = paths.state_dir()
    found_any = False
    missing = list[str]()
    for name in catalogue.names():
        try:
            if not catalogue.kind(name).is_agent:
                continue
            adapter = catalogue.adapter_for(name)
        except HarnexError as e:
            yield Check(name, "error", e.message, e.hint)
            continue
        program = shutil.which(adapter.program)
        if program is None:
            missing.append(name)
            continue
        found_any = True
        text = versions.detect(state, program, environment.clean_env(), name)
        version = versions.parse(text)
        where = f"{text or 'version unknown'}, {program}"
        known = adapter.known
        if version is None:
            yield Check(name, "warning", where, f"`{program} --version` names no version of its own; does it run?")
        elif known is not None and not known[0] <= version <= known[1]:
            low, high = (".".join(map(str, v)) for v in known)
            yield Check(name, "warning", where, f"measured were {low} to {high}: its state may be less certain")
        else:
            yield Check(name, "ok", where)
    for name in missing:
        status: Any = "warning" if not found_any else "ok"
        package = catalogue.kind(name).npm
        mend = f"to use it: npm install -g {package}" if package else "to use it: install it"
        yield Check(name, status, "not on the PATH", mend if not found_any else "")


def user() -> Iterator[Check]:
    if os.geteuid() == 0:
        yield Check(
            "user",
            "warning",
            "root",
            "Claude Code refuses --permissions bypass as root unless in a sandbox; harnex sets IS_SANDBOX=1 then",
        )
    else:
        yield Check("user", "ok", f"uid {os.geteuid()}")


def state_directory() -> Iterator[Check]:
    state = paths.state_dir()
    for name in ("sessions", "runs"):
        paths.private_dir(os.path.join(state, name))
    probe = os.path.join(state, f".doctor-{os.getpid()}")
    try:
        with open(probe, "w") as f:
            f.write("x" * 4096)
        os.unlink(probe)
    except OSError as e:
        yield Check("state directory", "error", f"{state}: {e.strerror}", "make it writable, or set HARNEX_STATE_DIR")
        return
    mode = os.stat(state).st_mode & 0o777
    if mode & 0o077:
        yield Check("state directory", "warning", f"{state} is {mode:o}", f"others can look in: chmod 700 '{state}'")
    else:
        yield Check("state directory", "ok", state)
    free = shutil.disk_usage(state).free
    room: Any = "error" if free < ROOM_ERROR else "warning" if free < ROOM_WARN else "ok"
    yield Check("room", room, f"{free / 1e9:.1f} GB free", "" if room == "ok" else "make room: harnex prune")
    socket = paths.socket_path(state, "x" * 30)
    paths.remove_socket(socket)
    yield Check("sockets", "ok", os.path.dirname(socket))


def configuration() -> Iterator[Check]:
    """Check the user's file and this repository's: can they be read, and may the
    repository's run anything?"""
    from harnex import config, trust
    from harnex.commands.trust import waiting

    path = config.user_file()
    found, problem = config.read(path)
    if problem:
        yield Check("configuration", "error", f"{path} is not used: {problem}", "chown it, or chmod go-w")
    else:
        yield Check("configuration", "ok", path if found else f"no {path}")
    path = config.repo_file(paths.here())
    found, problem = config.read(path)
    if problem:
        yield Check("repository's file", "warning", f"{path} is not used: {problem}", "chown it, or chmod go-w")
    elif found is None:
        yield Check("repository's file", "ok", f"no {path}")
    elif trust.given(path, found.data):
        yield Check("repository's file", "ok", f"{path}, trusted")
    elif list(waiting(found)):
        yield Check(
            "repository's file", "warning", f"{path} is not trusted: it runs nothing", config.how_to_trust(path)
        )
    else:
        yield Check("repository's file", "ok", f"{path}: nothing in it needs trust")


def sessions() -> Iterator[Check]:
    """Check live sessions (do they answer?), dead ones, and files that are not records."""
    from harnex.client import connect

    records, garbage = registry.all_records(paths.state_dir())
    dead = [r for r in records if not registry.is_live(r)]
    for record in (r for r in records if r not in dead):
        if record.get("damaged"):
            mend = f"it is written anew within seconds, unless the supervisor hangs; to end it: harnex stop --id {record['id']}"
            yield Check(f"session {record['id']}", "warning", f"its entry is damaged: {record['damaged']}", mend)
            continue
        try:
            connect.request(record, {"op": "status"}, 3.0)
        except HarnexError as e:
            yield Check(
                f"session {record['id']}",
                "error",
                e.message,
                f"its supervisor is {record['supervisor_pid']}; if it is stopped: kill -CONT {record['supervisor_pid']}",
            )
        else:
            yield Check(f"session {record['id']}", "ok", f"{record['cli']}, {record['state']}")
    for record in dead:
        yield Check(
            f"session {record['id']}", "warning", "its supervisor is gone", "its end is written by: harnex status"
        )
    for path in garbage:
        yield Check("session file", "warning", f"{path} is not a record", f"remove it: rm '{path}'")
    if not records and not garbage:
        yield Check("sessions", "ok", "none live")


def processes() -> Iterator[Check]:
    """Find processes of finished runs: ones that the sweep could not end."""
    import psutil

    from harnex.launch import startfile
    from harnex.supervisor.sweep import may_live

    def start_of(run_id: str) -> dict[str, Any]:
        return startfile.read(paths.run_dir(paths.state_dir(), run_id))

    live = {r["run_id"] for r in registry.live(paths.state_dir())}
    own = os.environ.get("HARNEX_RUN_ID")
    lost: list[int] = []
    for pid in psutil.pids():
        try:
            found = psutil.Process(pid)
            environment, command, name = found.environ(), " ".join(found.cmdline()), found.name()
        except (psutil.Error, OSError):
            continue
        run_id = environment.get("HARNEX_RUN_ID")
        same_state = environment.get("HARNEX_STATE_DIR") == os.environ.get("HARNEX_STATE_DIR")
        if not run_id or not same_state or run_id in live or run_id == own or process.start_time(pid) is None:
            continue
        if not may_live(command, start_of(run_id).get("options", {}).get("keep") or (), name):
            lost.append(pid)
    if lost:
        yield Check(
            "left processes",
            "warning",
            f"{len(lost)} of ended runs: {lost[:10]}",
            "look, then: kill " + " ".join(map(str, lost[:10])),
        )
    else:
        yield Check("left processes", "ok", "none")


LOOKS: tuple[Callable[[], Iterator[Check]], ...] = (
    harnex_itself,
    state_directory,
    configuration,
    terminal_tools,
    user,
    agents,
    sessions,
    processes,
)

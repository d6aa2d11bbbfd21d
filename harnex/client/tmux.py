"""tmux windows that show a session. The agent does not live in them: closing one ends nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

from harnex.errors import HarnexError

SESSION = "harnex"  # the tmux session for windows that are opened from outside of tmux
FORMAT = "#{session_name}:#{window_index}.#{pane_index}"
OWN_VARIABLES = ("HARNEX_ID", "HARNEX_RUN_ID", "HARNEX_CLI", "HARNEX_SPAWNER_PANE")


def check() -> None:
    """Raises HarnexError without tmux."""
    if shutil.which("tmux") is None:
        raise HarnexError(
            "--tmux needs tmux, which is not on the PATH", "install it, or use --detach and harnex attach"
        )


def open_window(name: str, run_id: str) -> str:
    """A window that attaches the run, beside ours or in the tmux session `harnex`; its pane as `session:1.0`."""
    command = shlex.join([sys.executable, "-P", "-c", _BOOT, _root(), "attach", "--id", run_id])
    # The window must find the same state directory, whatever the tmux server was started with.
    settings = {k: os.environ[k] for k in ("HARNEX_STATE_DIR", "XDG_STATE_HOME", "HOME") if os.environ.get(k)}
    command = "env " + " ".join(f"{k}={shlex.quote(v)}" for k, v in settings.items()) + " " + command
    window = ["-d", "-P", "-F", FORMAT, "-n", name]
    if os.environ.get("TMUX"):
        return _tmux("new-window", *window, command)
    if _exists():
        return _tmux("new-window", *window, "-t", f"={SESSION}:", command)
    try:
        return _tmux("new-session", *window, "-s", SESSION, "-x", "160", "-y", "48", command)
    except HarnexError:
        if not _exists():
            raise
        return _tmux("new-window", *window, "-t", f"={SESSION}:", command)  # somebody else was faster


def _exists() -> bool:
    return _run("has-session", "-t", f"={SESSION}").returncode == 0


def _tmux(*words: str) -> str:
    done = _run(*words)
    if done.returncode != 0:
        raise HarnexError(f"tmux {words[0]} failed: {done.stderr.strip()}", "start it with --detach instead")
    return done.stdout.strip()


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    # A tmux server that is started here must not carry the marks of the session that we may run in.
    env = {k: v for k, v in os.environ.items() if k not in OWN_VARIABLES}
    return subprocess.run(
        ["tmux", *words], env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=20
    )


_BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from harnex.cli import main; sys.exit(main())"


def _root() -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

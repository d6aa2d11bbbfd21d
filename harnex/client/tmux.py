"""tmux windows that show a session.

The agent does not live in the window: closing the window ends nothing.

tmux expands names as formats: `#(CMD)` in a window's name runs CMD (3.3a). tmux also takes a `;` at
the end of any argument for the end of its command. `_literal` and `_argument` are the two places
that keep a text a text.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from harnex import interpreter, paths
from harnex.errors import HarnexError

SESSION = "harnex"  # the tmux session for windows that are opened outside tmux
FORMAT = "#{session_name}:#{window_index}.#{pane_index}"
OWN_VARIABLES = ("HARNEX_ID", "HARNEX_RUN_ID", "HARNEX_CLI", "HARNEX_SPAWNER_PANE")


def check() -> None:
    """Raise HarnexError if tmux is missing."""
    if shutil.which("tmux") is None:
        raise HarnexError(
            "--tmux needs tmux, which is not on the PATH", "install it, or use --detach and harnex attach"
        )


def open_window(name: str, run_id: str) -> str:
    """Open a window that attaches the run, and return its pane as `session:1.0`.

    The window is opened beside the current one, or in the tmux session `harnex`. Raises
    HarnexError.
    """
    # The window must find the same state directory, whatever the tmux server was started with.
    settings = [f"{k}={os.environ[k]}" for k in ("HARNEX_STATE_DIR", "XDG_STATE_HOME", "HOME") if os.environ.get(k)]
    # Several words, not one: tmux runs several words as they are, and one word through the person's
    # shell.
    command = ["env", *settings, *interpreter.command("harnex.cli", "attach", "--id", run_id)]
    window = ["-d", "-P", "-F", FORMAT, "-n", _literal(name)]
    if os.environ.get("TMUX"):
        return _tmux("new-window", *window, *command)
    if _exists():
        return _tmux("new-window", *window, "-t", f"={SESSION}:", *command)
    try:
        return _tmux("new-session", *window, "-s", SESSION, "-x", "160", "-y", "48", *command)
    except HarnexError:
        if not _exists():
            raise
        # Another process made the tmux session first.
        return _tmux("new-window", *window, "-t", f"={SESSION}:", *command)


def _literal(text: str) -> str:
    """A text for a place where tmux expands formats, so that tmux shows the text itself."""
    return paths.printable(text).replace("#", "##")


def _argument(word: str) -> str:
    """An argument in the form that tmux takes whole."""
    return word[:-1] + "\\;" if word.endswith(";") else word


def _exists() -> bool:
    return _run("has-session", "-t", f"={SESSION}").returncode == 0


def _tmux(*words: str) -> str:
    done = _run(*words)
    if done.returncode != 0:
        raise HarnexError(f"tmux {words[0]} failed: {done.stderr.strip()}", "start it with --detach instead")
    return done.stdout.strip()


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    # A tmux server that is started here must not carry the marks of the session that this process
    # may run in.
    env = {k: v for k, v in os.environ.items() if k not in OWN_VARIABLES} | {"HARNEX_APART": "tmux"}
    return subprocess.run(
        ["tmux", *map(_argument, words)],
        env=env,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )

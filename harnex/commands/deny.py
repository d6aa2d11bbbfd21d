"""`harnex deny`."""

from __future__ import annotations

import click

from harnex.commands._answer import answer
from harnex.commands._types import which_session


@click.command("deny")
@which_session
@click.option("--dialog", metavar="NAME", help="Only if it is this one (default: the one that `status` shows).")
@click.option("--option", type=click.IntRange(min=1), metavar="N", help="Choose the N-th option instead.")
@click.option("--text", metavar="TEXT", help="Answer a question in your own words.")
def command(
    session_id: str | None, repo: str | None, cli: str | None, dialog: str | None, option: int | None, text: str | None
) -> int:
    """Say no to the dialog that is open.

    The options are in `harnex status --json` and in the `blocked` event. It is refused when the dialog is gone or
    another one is up: then nothing is pressed. Prints one JSON line once the dialog has gone.
    """
    return answer("deny", session_id, repo, cli, dialog, option, text)

"""`harnex guide`."""

from __future__ import annotations

import os
import sys

import click

from harnex import errors
from harnex.commands._docs import data_path


@click.command("guide")
def command() -> int:
    """The guide (Markdown): the ideas, the usual ways to use harnex, formats and exit codes."""
    return show("GUIDE.md")


def show(name: str) -> int:
    """Print a page of our documentation, on a terminal through a pager."""
    with open(data_path(name), encoding="utf-8") as f:
        text = f.read()
    if sys.stdout.isatty() and os.environ.get("PAGER", "less") != "cat":
        click.echo_via_pager(text)
    else:
        sys.stdout.write(text)
    return errors.DONE

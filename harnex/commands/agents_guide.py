"""`harnex agents-guide`."""

from __future__ import annotations

import click

from harnex.commands.guide import show


@click.command("agents-guide")
def command() -> int:
    """One page (Markdown) for agents that drive agents: the loop, the replies, what each exit code asks for."""
    return show("AGENTS-GUIDE.md")

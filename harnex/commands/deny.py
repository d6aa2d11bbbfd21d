"""`harnex deny`."""

from __future__ import annotations

from harnex.commands._answer import command_for

command = command_for("deny", "no")

"""`harnex recipes`."""

from __future__ import annotations

import os
import shutil
import sys

import click

from harnex import errors
from harnex.commands._docs import data_path
from harnex.errors import HarnexError, UsageError


def names() -> dict[str, str]:
    """Return each recipe's path by its name."""
    directory = data_path("recipes")
    found = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".sh"):
            found[name[:-3]] = os.path.join(directory, name)
    return found


def summary(path: str) -> str:
    """Return a script's first comment line after its `#!`."""
    with open(path, encoding="utf-8") as f:
        for line in list(f)[1:]:
            if line.startswith("# "):
                return line[2:].strip()
    return ""


def _path(name: str) -> str:
    known = names()
    if name not in known:
        raise UsageError(f"there is no recipe '{name}'", "recipes: " + ", ".join(known))
    return known[name]


@click.group("recipes", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> int:
    """Shell scripts to start from: list them, show one, copy one here."""
    if ctx.invoked_subcommand is None:
        for name, path in names().items():
            print(f"{name:20}  {summary(path)}")
    return errors.DONE


@command.command("show")
@click.argument("name")
def show(name: str) -> int:
    """Print a recipe."""
    with open(_path(name), encoding="utf-8") as f:
        sys.stdout.write(f.read())
    return errors.DONE


@command.command("copy")
@click.argument("name")
@click.argument("target", required=False)
def copy(name: str, target: str | None) -> int:
    """Copy a recipe to a file here (TARGET, default NAME.sh)."""
    target = os.path.abspath(target or f"{name}.sh")
    if os.path.isdir(target):
        target = os.path.join(target, f"{name}.sh")
    if os.path.exists(target):
        raise HarnexError(f"{target} is there already", "name another target")
    try:
        shutil.copy(_path(name), target)
        os.chmod(target, 0o755)
    except OSError as e:
        raise HarnexError(f"can't write {target}: {e.strerror}") from None
    print(target)
    return errors.DONE

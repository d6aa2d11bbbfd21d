"""Where the guide and the recipes are: inside the wheel, or beside the source."""

from __future__ import annotations

import os

from harnex.errors import HarnexError


def data_path(name: str) -> str:
    """Return the path of `GUIDE.md` or `recipes`.

    Raises HarnexError if this installation lacks it.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for base in (os.path.join(package, "data"), os.path.dirname(package)):
        path = os.path.join(base, name)
        if os.path.exists(path):
            return path
    raise HarnexError(f"{name} is missing from this installation", "install harnex again")

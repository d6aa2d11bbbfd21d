"""For all tests: which of them run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

# The helpers beside the tests, too: a failed assert in a helper shows its values.
pytest.register_assert_rewrite("tests.unit")

ALL = bool(os.environ.get("HARNEX_TEST_ALL"))


def is_more(item: pytest.Item) -> bool:
    """Whether a test is marked `more`, or marked `newest` and not run with the
    newest version of its CLI."""
    from tests.real.agents import NEWEST

    if item.get_closest_marker("more"):
        return True
    agent = getattr(item, "callspec", None) and item.callspec.params.get("agent")  # type: ignore[attr-defined]
    return bool(item.get_closest_marker("newest") and agent and agent[1] != NEWEST[agent[0]])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave some tests out without HARNEX_TEST_ALL (`make test-all`), unless
    they are named one by one."""
    if ALL or any("::" in word for word in config.args):
        return
    left = [item for item in items if is_more(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def each(names: Iterable[Any], nth: int) -> list[Any]:
    """Parameters of which only every nth runs without HARNEX_TEST_ALL."""
    return [name if n % nth == 0 else pytest.param(name, marks=pytest.mark.more) for n, name in enumerate(names)]

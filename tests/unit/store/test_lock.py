"""store/lock.py: the registry is not waited for without end."""

from __future__ import annotations

from pathlib import Path

import pytest

from harnex.errors import HarnexError
from harnex.store.lock import registry_lock


def test_the_registry_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with registry_lock(str(tmp_path)):
        with pytest.raises(HarnexError, match="at work on the registry") as e, registry_lock(str(tmp_path), 0.05):
            pass
        assert "fuser" in e.value.hint
    with registry_lock(str(tmp_path), 0.0):
        pass

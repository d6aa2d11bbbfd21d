"""store/history.py: a torn last line is mended."""

from __future__ import annotations

from pathlib import Path

from harnex import paths
from harnex.store import history


def test_history_mends_a_torn_last_line(tmp_path: Path) -> None:
    state = str(tmp_path)
    history.append(state, {"run_id": "1", "id": "a"})
    with open(paths.history_file(state), "a") as f:
        f.write('{"run_id": "2", "i')
    history.append(state, {"run_id": "3", "id": "a"})
    assert [r["run_id"] for r in history.rows(state)] == ["1", "3"]
    newest = history.newest(state, "a")
    assert newest is not None
    assert newest["run_id"] == "3"

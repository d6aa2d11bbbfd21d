"""store/undelivered.py: messages in their order."""

from __future__ import annotations

import json
from pathlib import Path

from harnex import paths
from harnex.store import undelivered


def test_messages_in_their_order(tmp_path: Path) -> None:
    state = str(tmp_path)
    for name, first in (("m-b", False), ("m-c", False), ("m-a", True)):
        undelivered.put(state, "r", {"id": name, "text": name, "submit": True}, str, first)
        undelivered.put(state, "r", {"id": name, "text": "again", "submit": True}, str)
    directory = Path(paths.run_dir(state, "r")) / "inbox"
    (directory / "0001000009-m-x.json.tmp").write_text("{")  # a crash left it
    (directory / "0001000009-m-y.json").write_text(json.dumps({"id": 7}))
    assert [m["text"] for m in undelivered.rows(state, "r")] == ["m-a", "m-b", "m-c"]

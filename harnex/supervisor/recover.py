"""Runs whose supervisor is gone (killed, machine rebooted): their end is written, exactly once.

Done by the next command that looks, under the registry lock.
"""

from __future__ import annotations

import os
from typing import Any

from harnex import clock, errors, events, jsonl, paths
from harnex.store import history, registry
from harnex.store.eventlog import EventLog
from harnex.supervisor import records
from harnex.supervisor.__main__ import registry_lock
from harnex.supervisor.sweep import sweep_now

MESSAGE = "the supervisor of this run was killed, or the machine went down"


def recover_dead(state: str) -> list[dict[str, Any]]:
    """End every dead run: sweep what it left, `exited` event, history row, no registry entry. Their rows."""
    rows = []
    with registry_lock(state):
        for record in registry.all_records(state)[0]:
            if not registry.is_live(record):
                rows.append(_recover(state, record))
    return rows


def _recover(state: str, record: dict[str, Any]) -> dict[str, Any]:
    run_id = str(record.get("run_id"))
    swept = sweep_now(run_id)
    events_path = os.path.join(paths.run_dir(state, run_id), "events.jsonl")
    ended_at = clock.iso()
    row, told = records.recovered(
        os.path.dirname(events_path),
        record,
        ended_at=ended_at,
        exit=errors.FAILED,
        reason="supervisor_lost",
        message=MESSAGE,
        turns=record.get("turn") or 0,
        swept=len(swept),
    )
    written = _ended_already(events_path)
    kept = True
    if not written and os.path.isdir(os.path.dirname(events_path)):
        try:
            log = EventLog(events_path, str(record["id"]), run_id)
            for event in told:
                log.append(event)
            log.append(events.Exited(code=None, signal=None, reason="supervisor_lost", message=MESSAGE))
            kept = log.flush()
            log.close()
        except OSError:
            kept = False
    if not any(old.get("run_id") == run_id for old in history.rows(state)):
        try:
            history.append(state, row)
        except OSError:
            kept = False
    if not kept:
        return row  # a full disk: the entry stays, so that the next command tries again
    if isinstance(record.get("socket"), str):
        paths.remove_socket(record["socket"])
    registry.remove(record["path"])
    return row


def _ended_already(path: str) -> bool:
    """Whether the log's last whole event is `exited`."""
    try:
        with open(path, "rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 65536))
            lines = f.read().splitlines()
    except OSError:
        return False
    for line in reversed(lines):
        row = jsonl.loads_dict(line)
        if row is not None and "seq" in row:
            return row.get("type") == "exited"
    return False

"""The history record of a run whose supervisor is gone, with what its event log lacks."""

from __future__ import annotations

import json
import os
from typing import Any

from harnex.launch import lease, startfile
from harnex.model import events
from harnex.model.records import Json
from harnex.recovery import fold
from harnex.redaction import rules
from harnex.redaction.files import Scrub
from harnex.redaction.redactor import Clean
from harnex.supervisor import dispatch
from harnex.supervisor.repository import look_now


def recorded(run_dir: str, record: Json, **how_it_ended: Any) -> tuple[Clean, tuple[events.Event, ...]]:
    """Return the run's history record, and the events that its log lacks, except `exited`.

    Removes the run's lease, and redacts secrets in files that others wrote. Exact values are
    redacted only if they are known here, from this environment or the lease. A secret that came
    only by `--env` is found by its shape or not at all.
    """
    manifest = _document(os.path.join(run_dir, "manifest.json"))
    repo = str(record.get("repo"))
    begun = startfile.read(run_dir)
    leased_values = lease.left_behind(run_dir, str(begun.get("adapter") or ""))
    redactor = rules.redactor(rules.of_start(begun, repo), os.environ, leased_values)
    leased = manifest.get("lease")
    lease.remove(run_dir, leased["logs"] if isinstance(leased, dict) and isinstance(leased.get("logs"), list) else ())
    Scrub(run_dir, redactor).finish(dispatch.LAST_S)
    log = fold.read(run_dir)  # Read the log once more: missing events have been added.
    start, end = log.looks.get("start"), log.looks.get("end")
    told: list[events.Event] = []
    if start is not None and end is None:
        facts = look_now(repo, str(start.get("sha") or ""), os.path.dirname(os.path.dirname(run_dir)), dispatch.LAST_S)
        if facts is not None:
            end = facts.dump()
            told.append(events.Git(phase="end", **end))
    count = redactor.count + int(manifest.get("redacted") or 0)
    row = redactor.record(
        dispatch.dispatch(
            {**record, "calls": record.get("calls") or log.calls},
            git=dispatch.git_part(start, end),
            usage=log.tokens(),
            counts=log.counts,
            redacted=count,
            **how_it_ended,
        )
    )
    dispatch.count_in_manifest(run_dir, count)
    path = manifest.get("summary_out")
    if isinstance(path, str):
        problem = dispatch.write_summary(path, row)
        if problem:
            told.append(events.Diagnostic(what=problem))
        told.append(events.Summary(exit=row["exit"], path=None if problem else path))
    return row, tuple(told)


def _document(path: str) -> Json:
    try:
        with open(path, encoding="utf-8") as f:
            found = json.load(f)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

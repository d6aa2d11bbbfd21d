"""What one call asked and was answered: found in the files that the session followed, or in those that were named."""

from __future__ import annotations

import os
from typing import Any

from harnex import jsonl
from harnex.agents.catalogue import logs_of_runs, signals
from harnex.agents.common.chat import Answer
from harnex.errors import HarnexError
from harnex.paths import FOLLOWED
from harnex.redaction import rules
from harnex.usage import logs
from harnex.usage.sources import Files, Run


def bodies_of(record: dict[str, Any], run: Run | None, source: Files | None) -> dict[str, Any]:
    """The call's bodies, redacted. Raises HarnexError if no file holds them."""
    if run is not None:
        paths = followed(run.directory, signals(str(record["cli"])))
        if not paths:
            raise HarnexError(
                f"run {run.row.get('run_id')} noted no files that could hold a call's bodies",
                "only Claude Code and Codex keep them; older runs: harnex usage --from CLI PATH --call N --bodies",
            )
    else:
        paths = source.files if source is not None else []
    there = [p for p in paths if os.path.exists(p)]
    answer = _find(record, there)
    if answer is None:
        gone = [p for p in paths if p not in there]
        raise HarnexError(
            f"no file holds what call {record['call_id']} asked"
            + (f"; gone: {', '.join(gone)}" if gone else "")
            + (
                "; it was cut off before anything of it was recorded"
                if record["partial"]
                else "; a compaction's is not kept"
            ),
            f"looked in: {', '.join(there) or 'nothing'}",
        )
    repo = run.row.get("repo") if run is not None else None
    redactor = rules.redactor(rules.load_quietly(repo if isinstance(repo, str) else None), os.environ)
    fields = dict(redactor.clean(answer.fields()))
    if fields["attempts"] is None:
        fields["attempts"] = record["attempts"]
    if fields["finish_reason"] is None:
        fields["finish_reason"] = record["stop_reason"]
    return fields


def followed(run_dir: str, but: tuple[str, ...]) -> list[str]:
    """The logs of the agent that the supervisor read in this run, without those of the sources `but`."""
    found = []
    try:
        with open(os.path.join(run_dir, "evidence", FOLLOWED), "rb") as f:
            for line in f:
                row = jsonl.loads_dict(line)
                source, path = (row or {}).get("source"), (row or {}).get("path")
                if source not in but and (row or {}).get("kind") == "rows" and isinstance(path, str):
                    found.append(path)
    except OSError:
        return []
    return list(dict.fromkeys(found))


def _find(record: dict[str, Any], paths: list[str]) -> Answer | None:
    call_id, agent = record["call_id"], str(record["agent"])
    found = [role.chats(agent, paths, logs.FILES) for role in logs_of_runs(str(record["cli"]))]
    makers = [make for make in found if make is not None]
    for path in paths:
        chats = [make() for make in makers]
        report = logs.Report(path)
        for row in logs.every_row(path, report):
            for chat in chats:
                chat.row(row)
        for answer in (chat.answers[call_id] for chat in chats if call_id in chat.answers):
            if report.skipped:
                answer.missing += (f"{report.skipped} lines that are not JSON",)
            return answer
    return None

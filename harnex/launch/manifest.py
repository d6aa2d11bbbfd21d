"""`manifest.json`: what was started, without its secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import harnex
from harnex import clock, git
from harnex.agents.contract import Launch
from harnex.launch.files import write_files
from harnex.launch.spec import Spec
from harnex.redaction import rules
from harnex.visible import visible

GIT_S = 5.0  # how long git may take


def write(run_dir: str, spec: Spec, launch: Launch, env: Mapping[str, str]) -> None:
    known = {**env, **{k: v for k, v in spec.env.items() if v is not None}}
    redactor = rules.redactor(spec.redact, known, spec.lease["secrets"] if spec.lease else ())
    manifest = {
        "schema_version": 1,
        "run_id": spec.run_id,
        "id": spec.id,
        "cli": spec.cli,
        "adapter": spec.adapter,
        "cli_version": spec.version_text,
        "argv": redactor.argv(launch.argv),
        "cwd": spec.cwd,
        "repo": spec.repo,
        "git": git_head(spec.repo),
        "resumes": spec.resumes,
        "mode": spec.mode,
        "permissions": spec.permissions,
        "permissions_used": spec.permissions_used,
        "notes": spec.notes,
        "description": spec.description or None,
        "meta": spec.meta,
        "spawner": spec.spawner,
        "started_at": clock.stamp(),
        "harnex_version": harnex.__version__,
        "record": spec.record,
        "lease": {"home": spec.lease["home"], "logs": spec.lease["logs"]} if spec.lease else None,
        "summary_out": spec.summary_out,
        "redacted": redactor.count,
    }
    text = visible(json.dumps(redactor.record(manifest), indent=1, ensure_ascii=False)) + "\n"
    write_files({os.path.join(run_dir, "manifest.json"): text})


def git_head(repo: str) -> dict[str, str] | None:
    """Return commit and branch of a work tree; None outside of git or without commits."""
    if not os.path.exists(os.path.join(repo, ".git")):
        return None
    found = git.ask(repo, *git.TOP, "HEAD", "--abbrev-ref", "HEAD", timeout=GIT_S)
    if found is None or not git.is_top(found):
        return None
    lines = git.readable(found).split()[1:]
    return {"sha": lines[0], "branch": lines[1]} if len(lines) == 2 else None

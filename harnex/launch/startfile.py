"""`start.json` in a run's directory: what the run was started from.

With it the run can be started again (recovery/resume.py), and its evidence can be read after its
supervisor died (recovery/recover.py). Its mode is 0600, and it holds no secret.

The file keeps a few harmless variables of the environment, since a timer's own environment has
another PATH and HOME. Of secret-looking variables it keeps only the names. Arguments and `--env`
values that look secret are replaced, and can't be used again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from harnex import clock, jsonl, process
from harnex.agents import catalogue
from harnex.errors import HarnexError
from harnex.launch.spec import Spec
from harnex.redaction import rules
from harnex.redaction.redactor import MARK, secret_values
from harnex.store import durable
from harnex.visible import visible

NAME = "start.json"
# The variables that an agent needs to be the same agent again, beside
# `AgentKind.variables`. None of them is secret.
KEEP = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "COLORTERM",
    "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip
# The first message is in the inbox instead (undelivered.py).
NOT_KEPT = ("context", "prompt", "resume", "credential", "notes")


def kept_names(adapter: str) -> set[str]:
    """Return the names of the variables whose values are kept for a run of this adapter."""
    return {*KEEP, *(name for kind in catalogue.built_in_and(adapter) for name in kind.variables)}


def about(options: Any, **known: Any) -> dict[str, Any]:
    """Return what is known before anything is started. `options` is launch/options.RunOptions."""
    given = {f.name: _plain(getattr(options, f.name)) for f in dataclasses.fields(options) if f.name not in NOT_KEPT}
    given["leased"] = options.credential is not None
    given["rehearse"] = os.path.abspath(given["rehearse"]) if given["rehearse"] else None
    return {
        "schema_version": 1,
        **known,
        "cli": os.path.basename(options.cli),
        "options": given,
        "started_at": clock.stamp(),
        "boot": process.boot_id(),
        "resumes": options.resume.run_id if options.resume else None,
        "resumed": options.resume.count if options.resume else 0,
        "before": options.resume.before if options.resume else None,
    }


def launched(start: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """Return `start` with what is known once the agent's command line is:
    version, endpoint, variables."""
    return {
        **start,
        "version": spec.version,
        "version_text": spec.version_text,
        "agent_session_id": spec.agent_session_id,
        "endpoint_pid": spec.endpoint_pid,
        "endpoint_start": spec.endpoint_start,
        "set": sorted(name for name, value in spec.env.items() if value is not None),
    }


def write(run_dir: str, start: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write start.json as a whole, without secrets.

    `env` is the agent's environment. Raises HarnexError.
    """
    options = start["options"]
    redactor = rules.redactor(start["redact"], {**env, **options["env"]})
    given = {
        name: None if secret_values({name: value}) or MARK in redactor.text(value) else value
        for name, value in options["env"].items()
    }
    names = {*kept_names(start["adapter"]), *start.get("set", ())}
    kept = {
        name: value
        for name, value in env.items()
        if name in names and not secret_values({name: value}) and redactor.text(value) == value
    }
    secrets = sorted(name for name, value in env.items() if secret_values({name: value}))
    whole = {**start, "options": {**options, "env": given}, "env": kept, "secrets": secrets}
    path = os.path.join(run_dir, NAME)
    # A path need not be UTF-8: bytes that are not become escapes, as control characters do.
    text = visible(json.dumps(redactor.record(whole), ensure_ascii=False)) + "\n"
    try:
        durable.replace(path, text.encode())
    except OSError as e:
        raise HarnexError(f"can't write {path}: {e.strerror}", "see: harnex doctor") from None


def read(run_dir: str) -> dict[str, Any]:
    """Return start.json, or {} if it is missing or not whole."""
    with contextlib.suppress(OSError), open(os.path.join(run_dir, NAME), "rb") as f:
        start = jsonl.loads_dict(f.read())
        texts = ("id", "run_id", "cli", "repo", "cwd", "adapter")
        if start and isinstance(start.get("options"), dict) and all(isinstance(start.get(k), str) for k in texts):
            return start
    return {}


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value

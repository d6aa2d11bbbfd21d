"""Private configuration homes for Codex: of a rehearsal, of a leased credential, of both. Pure.

Measured on 0.80, 0.104, 0.145 and 0.169: with `auth.json` of `{"OPENAI_API_KEY": ...}` and a trusted directory they
start at their prompt, and the key comes as a bearer token.
"""

from __future__ import annotations

import json

from harnex.agents.codex.launch import toml
from harnex.agents.contract import Credential, Lease, Version

LOGS = ("sessions", "archived_sessions")
_OTHERS = ("OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN")


def rehearsal_config(base_url: str, cwd: str, version: Version | None, login: bool = False) -> str:
    """A `config.toml` whose only provider is on loopback: no login, no update check, no telemetry.

    `login`: the provider takes the key of `auth.json`.
    """
    return "\n".join(
        (
            "# written by harnex for a rehearsal",
            'model = "gpt-5"',
            'model_provider = "rehearsal"',
            "check_for_update_on_startup = false",
            'cli_auth_credentials_store = "file"',
            "",
            "[model_providers.rehearsal]",
            'name = "rehearsal"',
            f"base_url = {toml(base_url.rstrip('/') + '/v1')}",
            'wire_api = "responses"',
            *(("requires_openai_auth = true",) if login else ()),
            "",
            "[analytics]",
            "enabled = false",
            "",
            "[notice]",
            '"hide_gpt-5.1-codex-max_migration_prompt" = true',
            "",
            "[notice.model_migrations]",  # which offers of a newer model were seen: the catalogues of 0.92 and 0.117
            f'gpt-5 = "{"gpt-5.2-codex" if version is not None and version < (0, 99) else "gpt-5.3-codex"}"',
            "",
            "[otel]",
            'exporter = "none"',
            'trace_exporter = "none"',
            'metrics_exporter = "none"',
            "",
            "[features]",
            "daemon_auto_start = false",
            "",
            *_trusted(cwd),
        )
    )


def _trusted(cwd: str) -> tuple[str, ...]:
    return (f"[projects.{toml(cwd)}]", 'trust_level = "trusted"', "")


def lease(credential: Credential, home: str, cwd: str, version: Version | None, base_url: str | None) -> Lease:
    """Raises ValueError for a file that is none of its forms."""
    notes = ["a private home: this directory is trusted; your own config.toml, MCP servers and prompts are not there"]
    if credential.is_json:
        try:
            data = json.loads(credential.text)
        except ValueError:
            data = None
        if not isinstance(data, dict) or not (data.get("OPENAI_API_KEY") or isinstance(data.get("tokens"), dict)):
            raise ValueError("it is JSON, but not Codex's auth.json (which has `OPENAI_API_KEY` or `tokens`)")
        if isinstance(data.get("tokens"), dict):
            notes.append("if Codex renews this login while it runs, the renewed one is thrown away with the home")
    elif len(credential.text.split()) != 1:
        raise ValueError("it is not one key")
    else:
        data = {"OPENAI_API_KEY": credential.text}
    own = (
        "# written by harnex for a leased credential",
        "check_for_update_on_startup = false",
        'cli_auth_credentials_store = "file"',
        "",
        *_trusted(cwd),
    )
    config = rehearsal_config(base_url, cwd, version, login=True) if base_url is not None else "\n".join(own)
    files = {f"{home}/auth.json": json.dumps(data), f"{home}/config.toml": config}
    return Lease({**dict.fromkeys(_OTHERS), "CODEX_HOME": home}, files, LOGS, tuple(notes))

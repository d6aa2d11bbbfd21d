"""A leased credential in Claude Code's own form, in a private CLAUDE_CONFIG_DIR. Pure.

Measured on 1.0.128, 2.0.77, 2.1.197 and 2.1.329, each started in such a home without any dialog, with the key seen
by the endpoint: `apiKeyHelper` in `settings.json` (the key came as `x-api-key`; unlike `primaryApiKey` and
ANTHROPIC_API_KEY it is copied nowhere, asks nothing, and is in no tool's environment), `.credentials.json` with an
access token alone (bearer), ANTHROPIC_AUTH_TOKEN (bearer; there is no file for it).
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from harnex.agents.contract import Credential, Lease, Version

LOGS = ("projects",)
# What would win over the lease, or point elsewhere.
_OTHERS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
)


def project() -> dict[str, Any]:
    """A directory that Claude Code knows and trusts."""
    return {
        "hasTrustDialogAccepted": True,
        "hasCompletedProjectOnboarding": True,
        "projectOnboardingSeenCount": 9,
        "allowedTools": [],  # 1.0.128 dies at the start if a project lacks these lists (measured)
        "history": [],
        "mcpContextUris": [],
        "mcpServers": {},
        "enabledMcpjsonServers": [],
        "disabledMcpjsonServers": [],
    }


def lease(credential: Credential, home: str, cwd: str, version: Version | None, base_url: str | None) -> Lease:
    """Raises ValueError for a file that is none of its forms."""
    env: dict[str, str | None] = {**dict.fromkeys(_OTHERS), "CLAUDE_CONFIG_DIR": home}
    config: dict[str, Any] = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "bypassPermissionsModeAccepted": True,  # only who says --permissions bypass sees that warning, and has said yes
        "autoUpdates": False,
        "projects": {cwd: project()},
    }
    settings: dict[str, Any] = {}
    files: dict[str, str] = {}
    notes = ["a private home: this directory is trusted; your own settings, MCP servers and memory are not there"]
    text = credential.text
    if credential.is_json:
        try:
            data = json.loads(text)
        except ValueError:
            data = None
        if not isinstance(data, dict) or not isinstance(data.get("claudeAiOauth"), dict):
            raise ValueError(
                "it is JSON, but not Claude Code's .credentials.json (which has `claudeAiOauth`); "
                "a key or a token alone on its line is right, too"
            )
        files[f"{home}/.credentials.json"] = json.dumps(data)
        if data["claudeAiOauth"].get("refreshToken"):
            notes.append("if Claude Code renews this login while it runs, the renewed one is thrown away with the home")
    elif len(text.split()) != 1:
        raise ValueError("it is not one key or token")
    elif text.startswith("sk-ant-oat") or credential.name == "CLAUDE_CODE_OAUTH_TOKEN":
        oauth = {"accessToken": text, "refreshToken": None, "expiresAt": None, "scopes": ["user:inference"]}
        files[f"{home}/.credentials.json"] = json.dumps({"claudeAiOauth": oauth})
    elif credential.name == "ANTHROPIC_AUTH_TOKEN":
        env["ANTHROPIC_AUTH_TOKEN"] = text
        notes.append("ANTHROPIC_AUTH_TOKEN works as a variable only: the agent's tools see it")
    else:
        files[f"{home}/api-key"] = text
        settings["apiKeyHelper"] = f"cat {shlex.quote(f'{home}/api-key')}"
    files[f"{home}/.claude.json"] = json.dumps(config, indent=1)
    if settings:
        files[f"{home}/settings.json"] = json.dumps(settings, indent=1)
    return Lease(env, files, LOGS, tuple(notes))

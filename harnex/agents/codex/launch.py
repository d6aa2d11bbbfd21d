"""How Codex is started: command line, environment, the chained `notify`. Pure; measured on 0.80, 0.104, 0.145, 0.169."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator

from harnex.agents.contract import Launch, LaunchRequest

NO_DAEMON_SINCE = (0, 156)  # an unknown flag before
NOTIFY_FILE = "notify.jsonl"
EVIDENCE = "HARNEX_CODEX_EVIDENCE"  # tells the reader, by the child's environment, where notify writes

# Variables that Codex sets for its tools (dumped by `env` in 0.80, 0.104, 0.145, 0.169; the last three are
# strings of the binary): a Codex that is started by a Codex must not take them for its own.
NESTED = (
    "CODEX_CI", "CODEX_THREAD_ID", "CODEX_SESSION_ID", "CODEX_TOOL_CALL_ID", "CODEX_VERSION", "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED", "CODEX_MANAGED_BY_NPM", "CODEX_MANAGED_BY_BUN", "CODEX_MANAGED_BY_PNPM",
    "CODEX_MANAGED_PACKAGE_ROOT", "CODEX_APPLY_PATCH_PRESERVE_LINE_ENDINGS", "CODEX_PERMISSION_PROFILE",
    "CODEX_INTERNAL_ORIGINATOR_OVERRIDE", "CODEX_NETWORK_PROXY_ACTIVE",
)  # fmt: skip
# Set beside them, and harmful in a terminal only when Codex set them.
NESTED_IF_CODEX = ("NO_COLOR", "COLORTERM", "PAGER", "GIT_PAGER", "GH_PAGER")

# Appends the JSON (the last argument) whole to the file, then hands over to the person's own command. `cat`
# writes it in one go: two notifications at once don't mix. The JSON is on this machine's process list
# anyway: Codex passes it as an argument.
NOTIFY_SCRIPT = (
    "umask 077; f=$1; shift; for j; do :; done; "
    '{ printf "%s\\n" "$j" >"$f.$$" && cat "$f.$$" >>"$f"; rm -f "$f.$$"; } 2>/dev/null; '
    'if [ $# -gt 1 ]; then exec "$@"; fi'
)

HEADLESS = ("exec", "e", "review")
INTERACTIVE = ("resume", "fork")
OTHERS = (
    "login", "logout", "mcp", "mcp-server", "app-server", "completion", "sandbox", "debug", "apply", "a", "cloud",
    "features", "help", "plugin", "remote-control", "update", "doctor", "agents", "queue", "archive", "delete",
    "unarchive", "exec-server", "migrate-rollouts", "migrate-nfs-db",
)  # fmt: skip
TAKES_VALUE = (
    "-c", "--config", "--enable", "--disable", "-i", "--image", "-m", "--model", "--local-provider", "-p", "--profile",
    "-s", "--sandbox", "-a", "--ask-for-approval", "-C", "--cd", "--add-dir", "--remote", "--remote-auth-token-env",
)  # fmt: skip
BYPASS_FLAG = "--dangerously-bypass-approvals-and-sandbox"
PERMISSION_FLAGS = (
    "-a", "--ask-for-approval", "-s", "--sandbox", "--full-auto", "--yolo", BYPASS_FLAG, "--approve-for-me",
)  # fmt: skip
PERMISSION_KEY = re.compile(r"\s*(approval_policy|sandbox_mode|default_permissions)\s*=")


def toml(value: object) -> str:
    """`value` as TOML. Basic strings are JSON's, but for DEL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{toml(str(k))}={toml(v)}" for k, v in value.items()) + "}"
    return str(value)


def flags(args: Iterable[str]) -> Iterator[tuple[str, str, int, int]]:
    """The options in `args` as (name, value, first index, end index); `--` ends them."""
    items = list(args)
    i = 0
    while i < len(items):
        word = items[i]
        if word == "--":
            return
        end = i + 1
        name, value = word, ""
        if word.startswith("--") and "=" in word:
            name, value = word.split("=", 1)
        elif word in TAKES_VALUE and end < len(items):
            value, end = items[end], end + 1
        elif re.match(r"-[cimpsaC].", word):
            name, value = word[:2], word[2:].removeprefix("=")
        if word.startswith("-"):
            yield name, value, i, end
        i = end


def subcommand(args: tuple[str, ...]) -> tuple[str, int]:
    """The subcommand and its index, ("", len) if there is none (then a first word is a prompt)."""
    taken = {i for _, _, first, end in flags(args) for i in range(first, end)}
    for i, word in enumerate(args):
        if word == "--":
            break
        if i not in taken:
            return (word, i) if word in (*HEADLESS, *INTERACTIVE, *OTHERS) else ("", len(args))
    return "", len(args)


def config_value(args: Iterable[str], key: str) -> tuple[object, list[tuple[int, int]]]:
    """What `-c key=…` says (the last one counts), and where it stands."""
    found: object = None
    places = []
    for name, value, first, end in flags(args):
        if name in ("-c", "--config") and value.split("=", 1)[0].strip() == key and "=" in value:
            places.append((first, end))
            try:
                found = tomllib.loads("v = " + value.split("=", 1)[1])["v"]
            except tomllib.TOMLDecodeError:
                found = value.split("=", 1)[1]
    return found, places


def permission_args(request: LaunchRequest, headless: bool) -> tuple[tuple[str, ...], str, str]:
    """(flags, what the mode became, a note). A flag of the person's own wins."""
    own = [
        (name, value)
        for name, value, _, _ in flags(request.args)
        if name in PERMISSION_FLAGS or (name in ("-c", "--config") and PERMISSION_KEY.match(value))
    ]
    if own and request.permissions != "ask":
        said = " ".join(f"{n} {v}".strip() for n, v in own)
        return (), said, f"your own `{said}` decides the permissions; --permissions {request.permissions} adds nothing"
    if own:
        return (), " ".join(f"{n} {v}".strip() for n, v in own), ""
    if request.permissions == "bypass":
        return (BYPASS_FLAG,), BYPASS_FLAG, "no sandbox and no questions: Codex can do whatever you can"
    if request.permissions == "auto":
        if headless:  # `exec` takes no -a; a config value is the same
            words: tuple[str, ...] = ("-c", 'approval_policy="never"', "-c", 'sandbox_mode="workspace-write"')
        else:
            words = ("-a", "never", "-s", "workspace-write")
        return words, " ".join(words), "never asks; commands stay in the workspace-write sandbox"
    return (), "the CLI's default", ""


def own_notify(request: LaunchRequest) -> list[str]:
    """The person's notify command: from their -c, else from the config files, the strongest first."""
    value, _ = config_value(request.args, "notify")
    if value is None:
        home = request.env.get("CODEX_HOME") or f"{request.env.get('HOME', '')}/.codex"
        paths = [f"{home}/config.toml", "/etc/codex/config.toml"]
        profile = next((v for n, v, _, _ in flags(request.args) if n in ("-p", "--profile") and v), "")
        if profile and "/" not in profile:
            paths.insert(0, f"{home}/{profile}.config.toml")
        for path in paths:
            text = request.read_text(path)
            if text is None:
                continue
            try:
                value = tomllib.loads(text).get("notify")
            except tomllib.TOMLDecodeError:
                continue  # Codex will say so itself
            if value is not None:
                break
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    return []


def launch(request: LaunchRequest) -> Launch:
    """argv and environment. Options of ours stand first: `codex OURS… [resume] THEIRS…` is right for the root
    command and for `resume`/`fork` alike, and what the person gave after them wins."""
    version = request.version
    verb, at = subcommand(request.args)
    notes: list[str] = []
    if verb in OTHERS:
        return Launch((request.command, *request.args), _environment(request), permissions="", notes=())
    headless = verb in HEADLESS
    ours: list[str] = []
    args = list(request.args)
    given = {name for name, _, _, _ in flags(args)}
    if not headless:
        if version is not None and version >= NO_DAEMON_SINCE:
            if not given & {"--no-daemon", "--remote"}:
                ours.append("--no-daemon")
        elif version is None:
            notes.append(
                "the version of Codex is not known: --no-daemon is left out (older ones refuse it); "
                "a shared Codex server that already runs may take the turns"
            )
        # Inline: what scrolls away stays in the recording and in the terminal's own history, and the mouse is left
        # alone. As a config key it is understood or ignored by all versions; --no-alt-screen is refused before 0.104.
        if "--no-alt-screen" not in given:
            ours += ["-c", 'tui.alternate_screen="never"']
    ours += ["-c", "features.daemon_auto_start=false", "-c", "check_for_update_on_startup=false"]
    ours += ["-c", "notice.hide_rate_limit_model_nudge=true"]
    ours += ["-c", "notice.hide_gpt5_1_migration_prompt=true"]  # 0.58 opens with `Introducing our gpt-5.1 models`
    own = own_notify(request)
    _, places = config_value(args, "notify")
    for first, end in reversed(places):
        del args[first:end]
    file = f"{request.evidence_dir}/{NOTIFY_FILE}"
    ours += ["-c", "notify=" + toml(["/bin/sh", "-c", NOTIFY_SCRIPT, "harnex-notify", file, *own])]
    if own:
        notes.append(f"your notify command ({own[0]}) is called after harnex's own")
    permissions, became, note = permission_args(request, headless)
    if note:
        notes.append(note)
    bypassing = bool(set(permissions) & {BYPASS_FLAG})
    if not headless and (request.trust or bypassing):
        where = request.cwd
        for name, value, _, _ in flags(request.args):
            if name in ("-C", "--cd") and value:
                where = value if value.startswith("/") else f"{request.cwd}/{value}"
        ours += ["-c", "projects=" + toml({where.rstrip("/") or "/": {"trust_level": "trusted"}})]
        notes.append("this directory is trusted for this run only; nothing is written to your configuration")
    if headless and BYPASS_FLAG in permissions:
        verb, at = subcommand(tuple(args))
        args[at + 1 : at + 1] = permissions  # `exec` doesn't inherit it from the root command
    else:
        ours += permissions
    return Launch(
        (request.command, *ours, *args),
        {**_environment(request), EVIDENCE: request.evidence_dir},
        permissions=became,
        notes=tuple(notes),
    )


def _environment(request: LaunchRequest) -> dict[str, str | None]:
    env: dict[str, str | None] = {name: None for name in NESTED if name in request.env}
    if "CODEX_CI" in request.env or "CODEX_THREAD_ID" in request.env:
        env.update({name: None for name in NESTED_IF_CODEX if name in request.env})
    if request.env.get("TERM", "") in ("", "dumb", "unknown"):
        env["TERM"] = "xterm-256color"  # with a dumb terminal it asks `Continue anyway? [y/N]` (0.145, 0.169)
    return env

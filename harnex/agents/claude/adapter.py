"""Claude Code: how it is started, typed to and ended, and what its records say. Measured on 1.0.128 … 2.1.330.

Where "measured" is written, the source is field/claude.md or the lab of this adapter (real CLIs
against a scripted model); `claude/screen.py` reads the screen, `claude/reader.py` the records.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from harnex.agents.claude import lease as leases
from harnex.agents.claude import places as places
from harnex.agents.claude.reader import HOOKS_FILE, ClaudeReader
from harnex.agents.claude.views import clear_keys
from harnex.agents.common.message_text import (
    BLANK,
    bracketed,
    clean,
    ends_in_word,
    is_invisible,
    kept_as_path,
    lead,
    losses,
    visible,
)
from harnex.agents.contract import (
    Credential,
    Launch,
    LaunchRequest,
    Lease,
    Rehearsal,
    Source,
    StopStep,
    Typing,
    Version,
)
from harnex.model.facts import ScreenView, State

SETTINGS_SINCE: Version = (1, 0, 61)  # --settings: an unknown option in 1.0.60
SAME_FILE_SINCE: Version = (1, 0, 128)  # a resumed conversation goes on in its file; 1.0.60 begins another one
V2: Version = (2, 0, 77)
V3: Version = (2, 1, 197)

# An unknown event name makes 1.x drop the whole settings file and 2.x open a dialog (measured), so
# an unknown version gets the oldest set only.
_OLDEST_EVENTS: tuple[str, ...] = (
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "Stop",
    "SubagentStop",
    "PreCompact",
    "SessionEnd",
    "Notification",
)
_EVENTS_SINCE: tuple[tuple[Version, tuple[str, ...]], ...] = (
    ((2, 0, 45), ("PermissionRequest", "SubagentStart")),  # in the program text of 2.0.45, not of 2.0.20
    (V2, ("PostToolUseFailure",)),  # not of 2.0.45
    ((2, 1, 90), ("StopFailure", "PostCompact", "PermissionDenied")),  # of 2.1.90, not of 2.1.50
)

# What a Claude Code gives its tools, and a Claude Code started by one must not inherit; TMUX and STY
# freeze the title of 2.1.329 (measured).
_UNSET = (
    "TMUX",
    "TMUX_PANE",
    "STY",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SESSION_KIND",
    "CLAUDE_CODE_SESSION_NAME",
    "CLAUDE_CODE_SESSION_ORIGIN",
    "CLAUDE_CODE_SESSION_BEGAN_AS_COPY",
    "CLAUDE_CODE_SESSION_ATTENDED",
    "CLAUDE_CODE_SESSION_CREATED_AT_MS",
    "CLAUDE_CODE_CHILD_NOTES_DIR",
    "CLAUDE_JOB_DIR",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_MESSAGING_SOCKET",
    "CLAUDE_CODE_MESSAGING_TOKEN",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_PID",
    "CLAUDE_PROJECT_DIR",  # what tells its helpers from its tools (`claude/background.py`)
    "AI_AGENT",
    "CLAUDE_CODE_DISABLE_TERMINAL_TITLE",
)

SUGGESTIONS = "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION"
_SESSION_FLAGS = ("--resume", "-r", "--continue", "-c", "--session-id", "--from-pr")
# The options that take a value (`claude --help` of 2.0.77 and 2.1.329); of the variadic ones, all words up to the next.
_VARIADIC = (
    "--add-dir", "--allowedTools", "--allowed-tools", "--betas", "--disallowedTools", "--disallowed-tools", "--file",
    "--mcp-config", "--tools",
)  # fmt: skip
_VALUED = (
    *_VARIADIC, "--agent", "--agents", "--append-system-prompt", "--append-system-prompt-file", "--autocompact", "--debug",
    "-d", "--debug-file", "--effort", "--environment", "--fallback-model", "--input-format", "--json-schema",
    "--max-budget-usd", "--max-turns", "--model", "-n", "--name", "--output-format", "--permission-mode",
    "--permission-prompt-tool", "--permission-prompts", "--plugin-dir", "--plugin-url", "--prompt-suggestions",
    "--remote-control", "--remote-control-session-name-prefix", "--setting-sources", "--settings", "--system-prompt",
    "--system-prompt-file", "--system-prompt-snapshot", "--worktree", "-w",
)  # fmt: skip
_PERMISSION_FLAGS = ("--permission-mode", "--dangerously-skip-permissions")


def events_for(version: Version | None) -> tuple[str, ...]:
    """The hook events that this version knows."""
    events = _OLDEST_EVENTS
    for since, more in _EVENTS_SINCE:
        if version is not None and version >= since:
            events += more
    return events


def hook_command(path: str) -> str:
    """A shell command that appends its stdin to `path` as one line, by one write.

    `dd` gathers all input before it writes, so that hooks that run at once don't tear each other's
    lines, however long; `tr` drops newlines (the CLIs write none inside the JSON). Its end is always
    0, with nothing printed: 2 would block the agent's tool, and words would go into its context.
    """
    append = f"{{ LC_ALL=C tr -d '\\n'; echo; }} | dd ibs=65536 obs=16777216 >> {shlex.quote(path)}"
    return f"{{ {append}; }} 2>/dev/null; exit 0"


def _has_flag(args: tuple[str, ...], flags: tuple[str, ...]) -> bool:
    for arg in args:
        if arg == "--":
            return False
        if arg in flags or any(arg.startswith(f + "=") for f in flags if f.startswith("--")):
            return True
    return False


def _value_of(args: tuple[str, ...], flag: str) -> str | None:
    for n, arg in enumerate(args):
        if arg == "--":
            return None
        if arg == flag and n + 1 < len(args):
            return args[n + 1]
        if arg.startswith(flag + "="):
            return arg.partition("=")[2]
    return None


def _resumed_id(args: tuple[str, ...]) -> str:
    """The id of the conversation that these arguments go on with, "" if they don't name it."""
    value = _value_of(args, "--resume") or _value_of(args, "-r") or ""
    return value if places.UUID.fullmatch(value) and not _has_flag(args, ("--fork-session",)) else ""


def _without(args: tuple[str, ...], flag: str) -> tuple[str, ...]:
    out: list[str] = []
    skip = done = False
    for arg in args:
        if skip:
            skip = False
        elif done or arg == "--":
            done = True
            out.append(arg)
        elif arg == flag:
            skip = True
        elif not arg.startswith(flag + "="):
            out.append(arg)
    return tuple(out)


def _own_settings(request: LaunchRequest) -> tuple[dict[str, Any], str]:
    """The settings of the person's own `--settings` (JSON, or a file of JSON), and what is wrong with them."""
    value = _value_of(request.args, "--settings")
    if value is None:
        return {}, ""
    text: str | None = value
    if not value.lstrip().startswith("{"):
        path = value if value.startswith("/") else f"{request.cwd.rstrip('/')}/{value}"
        text = request.read_text(path)
    try:
        settings = json.loads(text or "")
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        return {}, f"--settings {value} can't be read as JSON, so Claude Code gets it as it is, and no hooks of harnex"
    return settings, ""


_EXIT_WORDS = ("exit", "quit", ":q", ":q!", ":wq", ":wq!")
_COMMANDS = "/!#@&?"  # first characters that the box takes for a key


def guarded(text: str, version: Version | None) -> str:
    """`text`, cleaned, with what keeps its first and last characters from being a key.

    - `/help`, `!ls`, `# x`, `@file`, `& x` and `?` alone: a space before them makes them text (1.0.128
      to 2.1.197). 2.1.329 trims white space and removes invisible characters before it looks for a command
      (46 of 51 prefixes tried), so `/` gets a blank that is neither. So does a character that stands behind
      others that a box may remove.
    - `exit` and `quit` alone end the program, with spaces too.
    - a backslash at the end makes a newline of Enter, an `@path` opens a menu that eats Enter: a space.
    - a line that is the path of a picture is attached as that picture (2.0.77, 2.1.329): a blank before it.
    """
    text = kept_as_path(clean(text))
    words, first = visible(text), lead(text)
    if words.lower() in _EXIT_WORDS:
        return BLANK + text
    if first and first in _COMMANDS:
        old = version is not None and version <= V3
        text = (" " if text[0] == first and (old or first != "/") else BLANK) + text
    return text + " " if words.endswith("\\") or ends_in_word(text, "@") else text


def changes(text: str, version: Version | None) -> tuple[str, ...]:
    """What the input box makes of a text, in words for its sender."""
    words = [*losses(text)]
    if "\t" in text:
        words.append("Claude Code makes four spaces of each tab")
    hidden = any(is_invisible(c) and not c.isspace() and c not in "\u200c\u200d\ufe0f" for c in clean(text))
    if hidden and (version is None or version > V3):
        words.append("Claude Code leaves out invisible characters")
    return tuple(words)


def guarded_prompt(text: str) -> str:
    """The prompt of `claude -p`, so that it is text: `/name` runs a command there, nothing else does (2.0.77, 2.1.329)."""
    return BLANK + text if lead(text) == "/" else text


class ClaudeAdapter:
    """Claude Code (Anthropic's CLI)."""

    name = "claude"
    program = "claude"
    known: tuple[Version, Version] | None = ((1, 0, 60), (2, 1, 330))
    # The session file has a status in 2.1.197, not yet in 2.1.110; a file without one says nothing. OSC 7501
    # comes from 2.1.300 if its query is answered, not from 2.1.250. The title counts only once it was seen to spin.
    sources: tuple[Source, ...] = (
        Source("session", 1, since=(2, 1, 111)),
        Source("osc7501", 1, since=(2, 1, 251)),
        Source("hooks", 1, level=False),
        Source("title", 2, since=(2, 1)),
        Source("screen", 3, settle_s=0.3),
    )

    def hook_events(self, version: Version | None) -> tuple[str, ...]:
        """The hooks that harnex listens to."""
        return events_for(version)

    def launch(self, request: LaunchRequest) -> Launch:
        args = request.args
        notes: list[str] = []
        unset = (*_UNSET, *places.OURS)
        env: dict[str, str | None] = {n: None for n in request.env if n in unset or n.startswith("CLAUDE_BG_")}
        env["DISABLE_AUTOUPDATER"] = "1"
        if SUGGESTIONS not in request.env:
            # 2.1 asks the model after each turn what a person might type next, and shows it in the box: an extra
            # call of the whole conversation, for nobody, and words in the box that nobody typed.
            env[SUGGESTIONS] = "false"
        settings, problem = _own_settings(request)
        if moved := places.named_in_settings(request, settings):
            env[places.SETTINGS] = moved
        flags, permissions = self._permissions(request, settings, env, notes)
        hooks_path = f"{request.evidence_dir.rstrip('/')}/{HOOKS_FILE}"
        files: dict[str, str] = {}
        argv = [request.command]
        if request.version is not None and request.version < SETTINGS_SINCE:
            notes.append(
                "this Claude Code has no --settings: no hooks, harnex reads the screen and the transcript only"
            )
        elif problem:
            notes.append(problem)
        else:
            entry = {"hooks": [{"type": "command", "command": hook_command(hooks_path), "timeout": 10}]}
            hooks = settings.get("hooks")
            merged = dict(hooks) if isinstance(hooks, dict) else {}
            for event in self.hook_events(request.version):
                own = merged.get(event)
                merged[event] = [*(own if isinstance(own, list) else []), entry]
            settings["hooks"] = merged
            if settings.get("disableAllHooks"):
                notes.append("your --settings disable all hooks: harnex reads the screen and the transcript only")
            if request.version is not None and request.version >= V3:
                # Else 2.1.329 opens with a dialog that restarts it and loses the first prompt (measured).
                settings.setdefault("tui", "default")
            path = f"{request.evidence_dir.rstrip('/')}/claude-settings.json"
            files[path] = json.dumps(settings, ensure_ascii=False, indent=1)
            args = _without(args, "--settings")
            argv += ["--settings", path]
            env[places.HOOKS] = hooks_path
        session_id: str | None = None
        if not _has_flag(args, _SESSION_FLAGS):
            session_id = request.new_session_id
            argv += ["--session-id", session_id]
        else:
            session_id = _value_of(args, "--session-id")
        # Where no hook says which file the transcript is, it is looked for by the conversation's id.
        if session_id:
            env[places.BEGINS] = session_id
        elif (resumed := _resumed_id(args)) and (request.version is None or request.version >= SAME_FILE_SINCE):
            env[places.RESUMES] = resumed
        return Launch((*argv, *flags, *args), env, files, session_id, permissions, tuple(notes))

    def _permissions(
        self, request: LaunchRequest, settings: dict[str, Any], env: dict[str, str | None], notes: list[str]
    ) -> tuple[tuple[str, ...], str]:
        """The flags for the permissions mode; may add to the settings, the environment and the notes."""
        if _has_flag(request.args, _PERMISSION_FLAGS):
            own = _value_of(request.args, "--permission-mode")
            bypass = _has_flag(request.args, _PERMISSION_FLAGS[1:]) or own == "bypassPermissions"
            if bypass and request.as_root and request.permissions == "bypass":
                env["IS_SANDBOX"] = "1"
            return (), f"--permission-mode {own}" if own else "--dangerously-skip-permissions"
        if request.permissions == "bypass":
            if request.as_root:
                env["IS_SANDBOX"] = "1"
                notes.append("IS_SANDBOX=1 is set: as root, Claude Code refuses to skip permissions without it")
            if request.version is not None and request.version >= V3:
                settings.setdefault("skipDangerousModePermissionPrompt", True)
            return ("--dangerously-skip-permissions",), "--dangerously-skip-permissions"
        if request.permissions == "auto":
            if request.version is not None and request.version >= V2:
                own = settings.get("permissions")
                merged = dict(own) if isinstance(own, dict) else {}
                allow = merged.get("allow")
                merged["allow"] = [*(allow if isinstance(allow, list) else []), "Edit(./**)", "Write(./**)"]
                settings["permissions"] = merged
                notes.append(
                    "auto: files in the working directory are edited without asking; whatever else your "
                    "settings don't allow is refused without asking (--permission-mode dontAsk)"
                )
                return ("--permission-mode", "dontAsk"), "--permission-mode dontAsk"
            notes.append(
                "auto: this Claude Code has no mode that never asks; files in the working directory are edited "
                "without asking, and it stops at a dialog for the rest (--permission-mode acceptEdits)"
            )
            return ("--permission-mode", "acceptEdits"), "--permission-mode acceptEdits"
        return ("--permission-mode", "default"), "--permission-mode default"

    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        key = "sk-ant-api03-harnex-rehearsal-0000000000000000000000-rehearse"
        config = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "bypassPermissionsModeAccepted": True,
            "autoUpdates": False,
            "customApiKeyResponses": {"approved": [key[-20:]], "rejected": []},
            "projects": {cwd: leases.project()},
        }
        home = home.rstrip("/")
        env: Mapping[str, str | None] = {
            "HOME": home,
            "CLAUDE_CONFIG_DIR": None,
            "ANTHROPIC_BASE_URL": base_url,
            "ANTHROPIC_API_KEY": key,
            "ANTHROPIC_AUTH_TOKEN": None,
            "ANTHROPIC_MODEL": None,
            "CLAUDE_CODE_OAUTH_TOKEN": None,
            "CLAUDE_CODE_USE_BEDROCK": None,
            "CLAUDE_CODE_USE_VERTEX": None,
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        files = {f"{home}/.claude.json": json.dumps(config, indent=1)}
        if version is None or version >= (2, 1):  # 1.0.60 warns of a settings file that is not as it should be
            files[f"{home}/.claude/settings.json"] = json.dumps({"skipDangerousModePermissionPrompt": True})
        # Only with a plan's login does it read the headers of a used-up limit, and name the reset (measured: 2.0, 2.1).
        plan = {"ANTHROPIC_API_KEY": None, "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-harnex-rehearsal-" + "0" * 60}
        return Rehearsal(env=env, files=files, plan=plan)

    def lease(
        self, credential: Credential, home: str, cwd: str, version: Version | None, base_url: str | None
    ) -> Lease | None:
        return leases.lease(credential, home, cwd, version, base_url)

    def reader(self, version: Version | None) -> ClaudeReader:
        return ClaudeReader(version)

    def typing(self, text: str, version: Version | None) -> Typing:
        """One bracketed paste; the text's first and last characters are kept from meaning something to the box.

        Measured with pastes that arrived as a prompt, byte for byte but for the guard and tabs (the
        box makes 4 spaces of one); `guarded` says what the guards are. The clear is for a draft that an
        interrupt put back.
        """
        paste = bracketed(guarded(text, version)) if text else b""
        # Right behind a paste's echo Enter is lost in 2.1.20 (1 of 3 at 5 ms, none of 24 from 20 ms on).
        clear, *more = clear_keys(version)
        return Typing(
            clear, paste, clear_more=tuple(more), notes=changes(text, version), accept_s=3.0, settle_s=0.08, again_s=1.0
        )

    def interrupt(self, view: ScreenView, version: Version | None) -> bytes:
        """Esc, in every version and state; Ctrl-C does not stop a stream in 1.x and 2.0 (measured)."""
        return b"\x1b"

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        return (
            StopStep("interrupt (Esc)", keys=b"\x1b", grace_s=2.0, until="prompt"),
            StopStep("interrupt again (Esc)", keys=b"\x1b", grace_s=2.0, until="prompt"),
            StopStep("clear the box (Ctrl-C)", keys=b"\x03", grace_s=0.3),
            StopStep("exit (Ctrl-C)", keys=b"\x03", grace_s=0.3),
            StopStep("exit (Ctrl-C again)", keys=b"\x03", grace_s=1.0),
            # 2.1 asks first, with `Exit anyway` chosen, while something runs in the background.
            StopStep("exit anyway (Enter)", keys=b"\r", grace_s=1.0, when="Background work is running"),
            StopStep("its own time to exit", grace_s=3.0),
        )

    def resume_args(self, session_id: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A prompt is a word that is no option's value."""
        out: list[str] = []
        owner = ""  # the option whose values may follow
        for arg in args:
            if arg == "--":
                break  # a prompt follows
            if arg.startswith("-"):
                name, equals, _ = arg.partition("=")
                owner = "" if equals or name not in _VALUED else name
                if name not in (*_SESSION_FLAGS, "--fork-session"):
                    out.append(arg)
                elif name in ("--resume", "-r", "--session-id", "--from-pr") and not equals:
                    owner = "dropped"
            elif owner:
                if owner != "dropped":
                    out.append(arg)
                owner = owner if owner in _VARIADIC else ""
        return ("--resume", session_id, *out)


ADAPTER = ClaudeAdapter()

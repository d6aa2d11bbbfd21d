"""The click group. Each command is a module of this package, imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from harnex import __version__, errors
from harnex.commands import HOT, _hot
from harnex.errors import HarnexError

# The order in which `harnex --help` lists the commands: the ones that a
# person needs first come first.
COMMANDS = {
    "run": "Start an agent and supervise it.",
    "exec": "One prompt to a headless agent, one answer.",
    "send": "Send a message to an agent.",
    "wait": "Wait until a session is in a state.",
    "watch": "Keep an agent working, and follow it.",
    "status": "The live sessions.",
    "stop": "End a session and everything that it started.",
    "events": "The facts of a run, as JSON lines.",
    "logs": "What the agent printed, as text or as a recording.",
    "pane": "The agent's screen now.",
    "attach": "Take the agent's terminal.",
    "approve": "Say yes to the dialog that is open.",
    "deny": "Say no to the dialog that is open.",
    "usage": "What model calls used: tokens, cache, cost.",
    "history": "Finished runs.",
    "report": "One HTML page of a run, or of a night.",
    "recover": "End dead runs; start them again where they were.",
    "trust": "Consent to what a repository's .harnex.toml runs.",
    "detect": "What an adapter makes of a screen.",
    "doctor": "Check what harnex needs, and how to mend it.",
    "demo": "The whole tour, with a bundled agent, in 20 seconds.",
    "guide": "The guide, to read.",
    "agents-guide": "The same for agents that drive agents, on one page.",
    "recipes": "Shell scripts to start from.",
    "prune": "Remove the files of old runs.",
}


class LazyGroup(click.Group):
    """Knows the names and one-line helps of all commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"harnex.commands.{name.replace('-', '_')}")
        if name in HOT:
            return _hot.as_click(module)
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as e:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean '{close[0]}'?" if close else "all commands: harnex --help"
            raise click.UsageError(f"there is no command '{args[0]}'; {hint}", ctx) from e


EPILOG = """\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a bug in harnex, 4 a person is needed, 5 budget reached,
124 timeout, 130 interrupted.

Begin with: harnex demo; then: harnex run codex --detach --id work --context "..." and harnex wait --id work
--until task_complete. More: harnex guide; for agents: harnex agents-guide.
"""


@click.command(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harnex")
def group() -> None:
    """Run CLI coding agents (Codex, Claude Code, any terminal program) unattended, and know what they did."""


def run(argv: list[str]) -> int:
    """Run one command line. Returns the command's exit code.

    Raises HarnexError, KeyboardInterrupt or BrokenPipeError.
    """
    try:
        code = group.main(args=argv, prog_name="harnex", standalone_mode=False)
    except click.exceptions.Exit as e:
        return e.exit_code
    except SystemExit:
        # Without standalone mode, click exits by itself only when the output pipe is closed.
        raise BrokenPipeError from None
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.UsageError as e:
        where = e.ctx.command_path if e.ctx is not None else "harnex"
        raise HarnexError(e.format_message(), f"see: {where} --help", errors.USAGE) from None
    except click.ClickException as e:
        raise HarnexError(e.format_message(), "", errors.FAILED) from None
    return code if isinstance(code, int) else errors.DONE

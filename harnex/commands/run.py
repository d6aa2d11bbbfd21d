"""`harnex run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

import click

from harnex import errors, jsonl, paths
from harnex.agents import catalogue
from harnex.agents.contract import AgentKind
from harnex.commands._find import mend
from harnex.commands._policy import policy_options, read_policy
from harnex.commands._starting import start_options, start_words
from harnex.commands.send import as_typed, read_file
from harnex.errors import HarnexError, UsageError
from harnex.store import registry
from harnex.watch.policy import PRESETS


def options_of(kinds: Iterable[AgentKind]) -> list[click.Option]:
    """Return the options that only one CLI takes."""
    return [click.Option((f"--{o.name}",), metavar=o.metavar, help=o.help) for kind in kinds for o in kind.options]


class RunCommand(click.Command):
    """The options `--tmux` and `--watch` have optional values.

    The agent CLI's name right after one of them is the CLI, not the option's value.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._own = options_of(catalogue.built_in())
        size = next(n for n, param in enumerate(self.params, 1) if param.name == "size")
        self.params[size:size] = self._own

    def own(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the given values of the options that only one CLI takes, by their names."""
        given = {option.opts[0].removeprefix("--"): values[str(option.name)] for option in self._own}
        return {name: value for name, value in given.items() if value is not None}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return self._parsed(ctx, list(args))
        except click.NoSuchOption:
            known = {param.name for param in self.params}
            new = [option for option in options_of(catalogue.added()) if option.name not in known]
            if not new:
                raise
            self._own += new
            self.params += new
            return self._parsed(ctx, list(args))

    def _parsed(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ours, rest = args[:end], args[end:]
        parser = self.make_parser(ctx)
        try:
            values, _, _ = parser.parse_args(list(ours))
        except click.UsageError:
            return super().parse_args(ctx, args)
        if not isinstance(values.get("cli"), str):
            for at in range(len(ours) - 2, -1, -1):
                if ours[at] in ("--tmux", "--watch") and not ours[at + 1].startswith("-"):
                    ours[at : at + 2] = [f"{ours[at]}=", ours[at + 1]]
                    break
        return super().parse_args(ctx, ours + rest)


@click.command(
    "run",
    cls=RunCommand,
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": True},
    epilog="Examples:\n\n  harnex run codex\n\n  harnex run claude --detach --id fix --context-file task.md --permissions bypass\n\n"
    "  harnex run codex --tmux --id x -- -m gpt-5.1-codex",
)
@click.argument("cli", required=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@start_options("ask: the CLI's own default; auto: never asks, stays in its sandbox; bypass: no check at all.")
@click.option(
    "--tmux",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[NAME]",
    help="Show it in a new tmux window; JSON as --detach.",
)
@click.option("--context", metavar="TEXT", help="The first message, sent when the agent is ready.")
@click.option("--context-file", metavar="F", help="The same from a file (- for standard input).")
@click.option("--record", type=click.Choice(["screen", "raw"]), default="screen", show_default=True,
              help="raw keeps the terminal's bytes: secrets in them can't be redacted.")  # fmt: skip
@click.option("--size", metavar="COLSxROWS", help="The terminal's size (default: this one's, or 120x40).")
@click.option(
    "--watch",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[PATH]",
    help="Follow it here, with the watch on (below); with a PATH: as --watch-file.",
)
@policy_options
@click.option("--watch-file", metavar="PATH", help="Tell the agent when this file changes; it need not exist yet.")
def command(**o: Any) -> int:
    """Start an agent CLI (codex, claude, paseo, or any command) and supervise it.

    On a terminal it is attached; Ctrl-\\ d detaches and leaves it running. What follows -- goes to the CLI.

    --watch keeps it working: nudges an agent that stands still, waits for usage limits, resumes one that crashed, asks
    for a person where only a person helps. With --detach or --tmux it does so in the background. The exit code of
    --watch: 0 the task is done, 1 it failed, 4 a person is needed, 5 the budget is spent, 124 the time is over.
    """
    if o["cli"] is None:
        raise UsageError("which CLI?", "harnex run codex, harnex run claude, or any command")
    if o["detach"] and o["tmux"] is not None:
        raise UsageError("--detach and --tmux contradict each other")
    from harnex.launch.launch import start
    from harnex.launch.options import RunOptions

    watched = read_watch(o)
    following = watched and not o["detach"] and o["tmux"] is None
    foreground = not o["detach"] and o["tmux"] is None and not following
    if foreground and not (os.isatty(0) and os.isatty(1)):
        raise UsageError("there is no terminal to attach", "start it with --detach or --tmux")
    if o["tmux"] is not None:
        from harnex.client import tmux

        tmux.check()
    options = RunOptions(
        **start_words(o),
        args=tuple(o["args"]),
        mode="watch" if following else "foreground" if foreground else "detach" if o["detach"] else "tmux",
        context=read_context(o["context"], o["context_file"]),
        record=o["record"],
        watch_file=o["watch_file"],
        own=cast(RunCommand, click.get_current_context().command).own(o),
    )
    repo = paths.repo_root(options.cwd) if options.cwd else paths.here()
    policy, options.notes = read_policy(o, repo, watched, options.cli)
    options.policy = policy.dump() if policy is not None else None
    options.columns, options.rows = read_size(o["size"])
    mend(paths.state_dir())  # write the end of a dead run whose id is used again
    reply = start(options)
    for note in cast("list[str]", reply.get("notes") or []):
        print(f"harnex: {note}", file=sys.stderr)
    if o["detach"]:
        sys.stdout.write(jsonl.dumps(reply) + "\n")
        return errors.DONE
    if o["tmux"] is not None:
        return in_tmux(reply, o["tmux"])
    if following:
        from harnex.commands._follow import Follower

        return Follower(str(reply["run_id"]), str(reply["id"])).run()
    return in_foreground(reply)


def read_watch(o: dict[str, Any]) -> bool:
    """Whether the watch is on.

    `--watch PATH` still means the file hook, as it did first. The name of a preset
    there is refused as a mistake.
    """
    path = o["watch"]
    if path is None:
        return False
    if not path:
        return True
    if path in PRESETS and not os.path.exists(path):
        raise UsageError(f"--watch {path} would watch a file of that name", f"the preset: --watch --preset {path}")
    if o["watch_file"] is not None:
        raise UsageError("--watch PATH and --watch-file contradict each other")
    o["watch_file"] = path
    return False


def in_tmux(reply: dict[str, Any], name: str) -> int:
    """Open the window. If that fails, end the session: nobody could see it."""
    from harnex.client import connect, tmux

    if reply.get("state") == "exited":
        sys.stdout.write(jsonl.dumps(reply) + "\n")
        return errors.DONE
    record = _record(reply)
    try:
        reply["tmux"] = tmux.open_window(name or str(reply["id"]), str(reply["run_id"]))
    except HarnexError:
        connect.request(record, {"op": "stop", "force": True}, 30)
        raise
    connect.request(record, {"op": "tmux", "window": reply["tmux"]})
    sys.stdout.write(jsonl.dumps(reply) + "\n")
    return errors.DONE


def in_foreground(reply: dict[str, Any]) -> int:
    from harnex.client import attach

    if reply.get("state") != "exited":
        attach.say(f"harnex: session '{reply['id']}'; {attach.HELP}")
        try:
            result = attach.attach(_record(reply))
        except HarnexError:
            result = None  # the session ended just now
        if result is not None and "detached" in result:
            attach.say(f"harnex: '{reply['id']}' goes on; back to it: harnex attach --id {reply['id']}")
            return errors.DONE
        if result is not None and result.get("ended"):
            end = result["ended"]
            attach.say(f"harnex: session '{reply['id']}' ended: {end.get('reason')}")
            return attach.outcome_code(end)
    from harnex.commands.logs import print_text

    directory = paths.run_dir(paths.state_dir(), str(reply["run_id"]))
    print_text(directory, None)
    end = reply.get("exit") or {}
    return attach.outcome_code(cast("dict[str, Any]", end) or None)


def _record(reply: dict[str, Any]) -> dict[str, Any]:
    for record in registry.live(paths.state_dir()):
        if record["run_id"] == reply["run_id"]:
            return record
    raise HarnexError(f"session '{reply['id']}' has ended already", f"its output: harnex logs --id {reply['id']}")


def read_context(text: str | None, path: str | None) -> str | None:
    if text is not None and path is not None:
        raise UsageError("--context and --context-file contradict each other")
    if path is not None:
        text = read_file(path)
    elif text is not None:
        text = as_typed(text)
    if text is not None and not text.strip():
        raise UsageError("the context is empty")
    return text


def read_size(text: str | None) -> tuple[int, int]:
    if text is None:
        if os.isatty(1):
            from harnex.client.attach import size_of

            return size_of(1)
        return 120, 40
    columns, _, rows = text.lower().partition("x")
    if not (columns.isdigit() and rows.isdigit() and 20 <= int(columns) <= 1000 and 5 <= int(rows) <= 500):
        raise UsageError(f"--size '{text}' is not COLSxROWS", "for example 120x40; 20x5 at least")
    return int(columns), int(rows)

"""How large a person's input to a session may be.

Most of the input is kept in small files that every command reads. Larger input is refused at the
start, with a hint, before anything is prepared.
"""

from __future__ import annotations

import os

from harnex import jsonl
from harnex.errors import UsageError
from harnex.launch.options import RunOptions
from harnex.model import protocol

DESCRIPTION_CHARS = 2_000
META_BYTES = 64 << 10
VERSION_CHARS = 100
NAME_BYTES = 255  # of the program's name; file systems allow no more
ARGUMENT_BYTES = (128 << 10) - 1  # Linux: MAX_ARG_STRLEN, including the zero byte
ARGUMENTS_BYTES = 1 << 20  # beside the arguments the kernel needs room for the environment


def check(options: RunOptions) -> None:
    """Raise UsageError for input that is too large."""
    _refuse(
        "--description", len(options.description), DESCRIPTION_CHARS, "characters", "a task belongs into --context-file"
    )
    _refuse(
        "--meta",
        len(jsonl.dumps(options.meta)),
        META_BYTES,
        "bytes of JSON",
        "keep it in a file, and the file's path in --meta",
    )
    context = (options.context or "").encode("utf-8", "surrogatepass")
    _refuse("the first message", len(context), protocol.MESSAGE_MAX, "bytes", protocol.TOO_LONG_HINT)
    _refuse("--cli-version", len(options.version or ""), VERSION_CHARS, "characters", "for example 2.1.329")
    _refuse("the CLI's name", len(os.fsencode(os.path.basename(options.cli))), NAME_BYTES, "bytes", "name a program")
    hint = "what is that long belongs into a file that the CLI reads"
    given = {"an argument for the CLI": options.args, "--env": [f"{k}={v}" for k, v in options.env.items()]}
    for what, words in given.items():
        sizes = [len(os.fsencode(word)) for word in words]
        _refuse(what, max(sizes, default=0), ARGUMENT_BYTES, "bytes", hint)
        _refuse(
            "the arguments for the CLI" if words is options.args else what,
            sum(sizes),
            ARGUMENTS_BYTES,
            "bytes in all",
            hint,
        )


def _refuse(what: str, size: int, most: int, unit: str, hint: str) -> None:
    if size > most:
        raise UsageError(f"{what} is too long: {size:,} {unit}; at most {most:,}", hint)

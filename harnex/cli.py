"""The command line: verbs that scripts call in loops go straight to their module, all others
through click.

The one error boundary is here. An error becomes words on stderr, a JSON reply where a script
expects one, and an exit code. A bug becomes a report file.
"""

from __future__ import annotations

import os
import sys

from harnex import errors, interpreter
from harnex.commands import HOT
from harnex.errors import HarnexError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Verbs that answer with JSON. `run --detach`, `run --tmux` and `exec --detach` do, too.
JSON_VERBS = ("send", "wait", "stop", "approve", "deny")


def main() -> int:
    """Entry point of the `harnex` command."""
    interpreter.settle()
    argv = sys.argv[1:]
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _open_standard_files()
    # An agent's output, or a path, may have characters that this locale lacks.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if sys.stdout.isatty() or sys.stderr.isatty():
        from harnex import output

        output.install()
    try:
        return _guard(lambda: _dispatch(argv), argv)
    except BrokenPipeError:
        # The reader of the output has what it wanted. Nothing may be written at exit any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return errors.DONE


def _open_standard_files() -> None:
    """Open closed standard files (`>&-`, some daemons) as /dev/null.

    Otherwise a socket or a file of harnex would get their number.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            setattr(sys, name, os.fdopen(fd, mode, closefd=False))


def _dispatch(argv: list[str]) -> int:
    if argv and argv[0] in HOT:
        from importlib import import_module

        from harnex.commands import _hot

        module = import_module(f"harnex.commands.{argv[0]}")
        values = _hot.parse(argv[1:], module.OPTIONS)
        if values is not None:
            code = int(module.run(**values))
            sys.stdout.flush()
            return code
    from harnex.commands import _group

    code = _group.run(argv)
    sys.stdout.flush()
    return code


def _guard(action: Callable[[], int], argv: list[str]) -> int:
    try:
        return action()
    except HarnexError as e:
        _report(e, argv)
        return e.exit_code
    except KeyboardInterrupt:
        print("harnex: interrupted", file=sys.stderr)
        return errors.INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as e:
        if e.errno == 28:
            try:
                sys.stdout.flush()
            # The output itself finds no room: nothing more may be written to it, not even at exit.
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            _report(HarnexError(f"the disk is full: {e.filename or 'can not write'}", "make room and try again"), argv)
            return errors.FAILED
        return _bug(e, argv)
    except ModuleNotFoundError as e:
        if not e.name or e.name.partition(".")[0] in ("harnex", *sys.stdlib_module_names):
            return _bug(e, argv)
        _report(
            HarnexError(f"harnex needs the module '{e.name}', which is not installed with it", interpreter.MISSING),
            argv,
        )
        return errors.FAILED
    except Exception as e:
        return _bug(e, argv)


def _report(error: HarnexError, argv: list[str]) -> None:
    verb = next((a for a in argv if not a.startswith("-")), "")
    wants_json = verb in JSON_VERBS or (
        verb in ("run", "exec") and any(a == "--detach" or a.startswith("--tmux") for a in argv)
    )
    if wants_json:
        from harnex import jsonl

        try:
            print(jsonl.dumps(error.reply()), flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            # No room for the reply: the words are on stderr.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for words in (f"harnex: {error.message}", f"  {error.hint}" if error.hint else ""):
        if words:
            # Quoted text can't pass for a line of harnex.
            print(words.replace("\n", "\n  "), file=sys.stderr)


def _bug(error: Exception, argv: list[str]) -> int:
    """Write a report that a person can send, and print where it is."""
    import traceback

    text = "".join(traceback.format_exception(error))
    where = ""
    try:
        from harnex import __version__, clock, paths
        from harnex.redaction import rules

        directory = paths.subdir(paths.state_dir(), "reports")
        where = os.path.join(directory, f"bug-{clock.stamp().replace(':', '')}-{os.getpid()}.txt")
        pairs = dict(word.partition("=")[::2] for word in argv if "=" in word)  # --env K=V
        redactor = rules.redactor(rules.load_quietly(paths.here()), {**os.environ, **pairs})
        body = f"harnex {__version__}, Python {sys.version}\nharnex {' '.join(redactor.argv(argv))}\n\n{text}"
        fd = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(redactor.text(body))
    except Exception:
        where = ""
    print(f"harnex: a bug in harnex: {type(error).__name__}: {error}", file=sys.stderr)
    print(f"  report: {where}" if where else text, file=sys.stderr)
    return errors.BUG


if __name__ == "__main__":
    sys.exit(main())

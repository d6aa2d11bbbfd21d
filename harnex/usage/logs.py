"""Files that the agent CLIs wrote themselves, read for their calls: found in folders, read in big pieces, told if bad.

Most bytes of a transcript are results of tools, which carry no call. What kind of row a line is stands at its
beginning, so that most lines are neither parsed nor looked through (`Log.head`). That is exact: the beginning is
matched as JSON, member by member, and a line that is written in any other way is parsed as a whole.

A file may also be one JSON value, or several, over many lines (`claude -p --output-format json`, also through `jq`): an
object is a row, a list is a list of rows.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from harnex import jsonl
from harnex.agents.catalogue import logs_for
from harnex.agents.common.logfile import Log, Logged
from harnex.errors import HarnexError

PIECE = 4 << 20
HEAD_BYTES = 64 << 10
LINE_MAX = 256 << 20  # a longer line is skipped, and told
BEGINNING = re.compile(r"[^\s,\[\]]")  # of a value, behind what stands between the values of a list
SUFFIXES = (".jsonl", ".jsonl.zst", ".ndjson")

try:
    import orjson

    def loads(text: str | bytes) -> Any:
        """One JSON value. Raises ValueError."""
        try:
            return orjson.loads(text)
        except ValueError:
            return jsonl.loads(text)  # lone surrogates, NaN: what the CLIs write and orjson refuses
except ImportError:
    loads = jsonl.loads


@dataclass(slots=True)
class Report:
    """What became of one file."""

    path: str
    size: int = 0
    calls: int = 0
    skipped: int = 0  # lines that are no JSON object (of those that had to be read)
    torn: bool = False  # its last line is not whole: it is being written, or was cut off
    problem: str = ""  # why it could not be read to its end
    difference: str = ""  # its own total against the calls in it
    repeated: int = 0  # calls that another file has told already

    def words(self) -> list[str]:
        """What a person should know of it."""
        told = []
        if self.problem:
            told.append(self.problem)
        if self.skipped:
            told.append(f"{self.skipped} line{'s' * (self.skipped > 1)} skipped: not JSON")
        if self.difference:
            told.append(self.difference)
        return told


@dataclass(slots=True)
class Found:
    """Files to read, in the order in which to read them, and what could not be looked at."""

    files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find(paths: Iterable[str], cli: str) -> Found:
    """The files meant: each file named, those in the folders named, and those that belong to the files named.

    Older files first: a resumed session may repeat an older one's rows. Pipes (`-` is standard input) before them: they can be
    read once only, and other files are held against what was in them. Raises HarnexError for a path that is nothing.
    """
    role, found, seen, plain = logs_for(cli), Found(), set(), list[str]()
    for path in ("/dev/stdin" if path == "-" else path for path in paths):
        if os.path.isdir(path):
            plain += list(_walk(path, found.problems))
        elif os.path.exists(path):
            plain.append(path)
            for more in role.further(path, FILES):
                plain += _walk(more, found.problems) if os.path.isdir(more) else [more]
        else:
            raise HarnexError(f"there is no file or folder {path}", "name files, or folders that hold them")
    marked = []
    for path in plain:
        try:
            info = os.stat(path)
        except OSError as e:
            found.problems.append(f"{path}: {e.strerror}")
            continue
        if (info.st_dev, info.st_ino) not in seen:
            seen.add((info.st_dev, info.st_ino))
            regular, part = stat.S_ISREG(info.st_mode), role.is_part(os.path.basename(path))
            marked.append((regular, part, info.st_mtime, path))
    found.files = [path for *_, path in sorted(marked)]
    return found


def _walk(folder: str, problems: list[str]) -> Iterator[str]:
    def failed(e: OSError) -> None:
        problems.append(f"{e.filename}: {e.strerror}")

    for directory, names, files in os.walk(folder, onerror=failed):
        names.sort()
        for name in sorted(files):
            if name.endswith(SUFFIXES):
                yield os.path.join(directory, name)


def first_row(path: str) -> dict[str, Any] | None:
    try:
        with _open(path) as f:
            return jsonl.loads_dict(f.read(1 << 20).split(b"\n", 1)[0])
    except (OSError, HarnexError):
        return None


def head_rows(path: str) -> Iterator[dict[str, Any]]:
    """The rows at the beginning of a file, lazily: those in its first 64 KB, or the first one where that is longer. None of
    what is no file (a pipe's content can be read once only) or can't be read."""
    if not os.path.isfile(path):
        return
    try:
        with _open(path) as f:
            data = f.read(HEAD_BYTES)
            while b"\n" not in data and (more := f.read(HEAD_BYTES)):
                data += more
    except (OSError, HarnexError):
        return
    for line in data.splitlines(keepends=True):
        row = jsonl.loads_dict(line)
        if row is not None:
            yield row


def chosen_rows(path: str, log: Log) -> Iterator[dict[str, Any]]:
    """The rows of the kinds that a log wants, lazily, up to where the file can be read."""
    report = Report(path)
    try:
        with _open(path) as f:
            for piece in pieces(f, report):
                for line in _chosen(piece, 0, log):
                    row = _parsed(line, report)
                    if row is not None:
                        yield row
    except (OSError, HarnexError):
        return


def read(path: str, log: Log, report: Report, progress: Callable[[int], None] | None = None) -> Iterator[Logged]:
    """The calls in one file; what was wrong with it is in `report`."""
    try:
        with _open(path) as f:
            report.size = os.fstat(f.fileno()).st_size
            yield from _rows(f, log, report, progress)
    except OSError as e:
        report.problem = e.strerror or str(e)
    except HarnexError as e:
        report.problem = e.message
    yield from log.end()
    report.difference = log.difference or ""


def every_row(path: str, report: Report) -> Iterator[dict[str, Any]]:
    """All rows of a file, for those who need more than its calls."""
    try:
        with _open(path) as f:
            every, rows = opened(f, report)
            yield from rows or ()
            for piece in every:
                for line in _lines(piece, 0):
                    row = _parsed(line, report)
                    if row is not None:
                        yield row
    except (OSError, HarnexError) as e:
        report.problem = str(e)


def _rows(f: IO[bytes], log: Log, report: Report, progress: Callable[[int], None] | None) -> Iterator[Logged]:
    every, rows = opened(f, report, progress)
    for value in rows or ():
        yield from log.row(value)
    for piece in every:
        at = 0
        while log.begun is False and at < len(piece):
            end = piece.find(b"\n", at) + 1 or len(piece)
            row = _parsed(piece[at:end], report)
            at = end
            if row is not None:
                log.begun = True
                yield from log.row(row)
        for line in _chosen(piece, at, log):
            row = _parsed(line, report)
            if row is not None:
                yield from log.row(row)


def opened(
    f: IO[bytes], report: Report, progress: Callable[[int], None] | None = None
) -> tuple[Iterator[bytes], Iterator[dict[str, Any]] | None]:
    """The file's pieces and None; or, where its JSON values are not one a line, its rows (and nothing is left of it)."""
    every = pieces(f, report, progress)
    piece = next(every, b"")
    head = piece.lstrip()
    listed = head.startswith(b"[") and head[1:].lstrip().startswith((b"{", b"["))
    if not listed and head.startswith(b"{") and not _is_object(head.partition(b"\n")[0]):
        piece += next(every, b"")  # the last line of a file is a piece of its own
        listed = _is_object(piece.lstrip())
    if listed:
        return iter(()), _values(b"".join((piece, *every)).decode("utf-8", "replace"), report)
    return itertools.chain((piece,), every), None


def _values(text: str, report: Report) -> Iterator[dict[str, Any]]:
    decode, at = json.JSONDecoder().raw_decode, 0
    while (found := BEGINNING.search(text, at)) is not None:
        at = found.start()
        try:
            value, at = decode(text, at)
        except (ValueError, RecursionError):
            following = text.find("\n", at) + 1
            report.skipped += bool(following)
            report.torn = report.torn or not following
            at = following or len(text)
            continue
        if isinstance(value, dict):
            yield value
        else:
            report.skipped += 1


def _is_object(data: bytes) -> bool:
    """Whether it begins with a whole JSON object."""
    try:
        return isinstance(json.JSONDecoder().raw_decode(data.decode("utf-8", "replace"))[0], dict)
    except (ValueError, RecursionError):
        return False


def _parsed(line: bytes, report: Report) -> dict[str, Any] | None:
    try:
        row = loads(line)
    except ValueError:
        row = None
    if isinstance(row, dict):
        return row
    if line.strip():
        if line.endswith(b"\n"):
            report.skipped += 1
        else:
            report.torn = True
    return None


def pieces(f: IO[bytes], report: Report, progress: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """The file in pieces that end with a line; the last one perhaps not."""
    rest = b""
    while True:
        data = f.read(PIECE)
        if progress is not None:
            progress(len(data))
        if not data:
            break
        cut = data.rfind(b"\n") + 1
        if not cut:
            rest += data
            if len(rest) > LINE_MAX:
                report.skipped += 1
                rest = b""
                while data and b"\n" not in data:
                    data = f.read(PIECE)
                rest = data[data.find(b"\n") + 1 :] if data else b""
            continue
        yield rest + data[:cut] if rest else data[:cut] if cut < len(data) else data
        rest = data[cut:]
    if rest:
        yield rest


def _chosen(piece: bytes, at: int, log: Log) -> Iterator[bytes]:
    """The lines from `at` on that have to be parsed, with their newlines."""
    if log.head is None:
        yield from _lines(piece, at)
        return
    match, find, wanted, doubtful, size = log.head.match, piece.find, log.wanted, log.doubtful, len(piece)
    noted = log.noted
    while at < size:
        end = find(b"\n", at) + 1 or size
        head = match(piece, at)
        if head is None:
            yield piece[at:end]
        else:
            kind = head[head.lastindex or 0]
            if kind in wanted:
                line = piece[at:end]
                if kind not in doubtful or log.needs(line):
                    yield line
            elif kind in noted:
                log.note(kind, piece, at, end)
        at = end


def _lines(piece: bytes, at: int) -> Iterator[bytes]:
    while at < len(piece):
        end = piece.find(b"\n", at) + 1 or len(piece)
        yield piece[at:end]
        at = end


class _Unpacked:
    """A zstd file's content; raises OSError where it is cut off or broken, after what could be unpacked."""

    def __init__(self, path: str) -> None:
        try:
            import zstandard
        except ImportError:
            raise HarnexError(
                "packed with zstd, and there is no zstandard here to unpack it", "pip install 'harnex[usage]'"
            ) from None
        self._broken = zstandard.ZstdError
        self._frame = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
        self._file = open(path, "rb")  # noqa: SIM115 - closed in __exit__

    def read(self, size: int) -> bytes:
        while data := self._file.read(max(1, size // 8)):
            try:
                out = self._frame.decompress(data)
            except self._broken as e:
                raise OSError(5, f"broken: {e}") from None
            if out:
                return bytes(out)
        if not self._frame.eof and self._file.tell():
            raise OSError(5, "cut off: the packed file has no end")
        return b""

    def fileno(self) -> int:
        return self._file.fileno()

    def __enter__(self) -> _Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _open(path: str) -> Any:
    """The file's bytes, unpacked. Raises OSError, or HarnexError where zstd is needed and missing."""
    return _Unpacked(path) if path.endswith(".zst") else open(path, "rb", buffering=0)


class _Disk:
    """`agents.roles.Files`."""

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder or "."))
        except OSError:
            return []

    def document(self, path: str) -> dict[str, Any] | None:
        try:
            with open(path, "rb") as f:
                return jsonl.loads_dict(f.read(65536))
        except OSError:
            return None

    def first_row(self, path: str) -> dict[str, Any] | None:
        return first_row(path)

    def head_rows(self, path: str) -> Iterator[dict[str, Any]]:
        return head_rows(path)

    def chosen_rows(self, path: str, log: Log) -> Iterator[dict[str, Any]]:
        return chosen_rows(path, log)

    def every_row(self, path: str) -> Iterator[dict[str, Any]]:
        return every_row(path, Report(path))


FILES = _Disk()

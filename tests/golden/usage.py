"""The golden files of `harnex usage --from`: what it prints, as JSON, for all logs in the corpus.

The logs are laid out in a folder as their CLI lays them out. Transcripts and rollouts are taken out
of the recorded streams and records; logs that lie in the corpus unchanged stand beside them.

- `usage/<cli>/<version>.txt`: the logs of one version, and what its headless runs printed
  (`captures`).
- `usage/<cli>/all.txt`: all versions at once, and logs and captures together, which report the same
  calls. Only groups: the calls of the logs are in the files of the versions.

A section is one call of the command. A line is a line on stderr, or a key of the JSON; a list
has one line for each item.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from harnex import paths
from harnex.commands.usage import command
from harnex.usage.sums import BY
from tests.golden.corpus import rows_of, versions
from tests.golden.text import utc
from tests.record import CORPUS

FOLDERS = ("usage",)
# The times of the files, one second apart: `usage` reads older files first.
EPOCH = 1_000_000_000
GROUPED = ("session", "day", "model", "repo", "agent")
LOGS = {"claude": ("transcript", "subagent"), "codex": ("rollout",)}
Row = dict[str, Any]


# ---- the logs, as they lie on disk ----


def laid_out(version: Path, place: Path) -> list[str]:
    """Write the logs of a version below `place`, each case in a folder of its own.

    Returns their paths.
    """
    cli = version.parts[-2]
    held: dict[str, list[Row]] = {}
    for case in sorted(path for path in version.iterdir() if path.is_dir()):
        for name, rows in logs_of(cli, version.name, case).items():
            held[f"{case.name}/{name}"] = rows
    held |= {f"alone/{path.name}": rows_of(path) for path in sorted(version.glob("*.jsonl")) if is_log(path)}
    return written(place / "logs" / version.name, held)


def logs_of(cli: str, version: str, case: Path) -> dict[str, list[Row]]:
    """Return the transcripts or rollouts of one case: path below its folder -> rows."""
    rows: list[tuple[str, Row]] = []
    if case.name.startswith("exec-"):
        rows = [(item["source"], item["row"]) for item in rows_of(case / "records.jsonl")]
    elif case.name == "records":
        return {path.name: rows_of(path) for path in sorted(case.glob("*.jsonl")) if is_log(path)}
    elif case.name.startswith("run-"):
        items = rows_of(case / "stream.jsonl")
        rows = [
            (item["source"], item["row"])
            for item in items
            if item["kind"] == "row" and item["source"].partition(":")[0] in LOGS[cli]
        ]
    held: dict[str, list[Row]] = {}
    session = next((row["sessionId"] for _, row in rows if row.get("sessionId")), "unnamed")
    for source, row in rows:
        if cli == "codex":
            name = f"rollout-{source.rpartition(':')[2]}.jsonl"
        else:
            session = row.get("sessionId") or session
            own = f"agent-{row.get('agentId')}.jsonl"
            beside = own if version.startswith(("1.", "2.0.")) else f"{session}/subagents/{own}"
            name = beside if source == "subagent" else f"{session}.jsonl"
        held.setdefault(name, []).append(row)
    return held


def is_log(path: Path) -> bool:
    return path.name not in ("billed.jsonl", "hooks.jsonl", "notify.jsonl")


def captures(version: Path, place: Path) -> list[str]:
    """Write what headless runs of a version printed. Returns the paths."""
    held = {f"{path.parent.name}.jsonl": rows_of(path) for path in sorted(version.glob("exec-*/stream.jsonl"))}
    return written(place / "captures" / version.name, held)


def written(place: Path, held: dict[str, list[Row]]) -> list[str]:
    for n, (name, rows) in enumerate(held.items()):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
        os.utime(path, (EPOCH + n, EPOCH + n))
    return [str(place / name) for name in held]


# ---- what is printed ----


def printed(cli: str, place: Path, names: Iterable[str], *options: str) -> str:
    """Return one section: what `harnex usage --from` prints for these paths."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        # Prices that an earlier call remembered differ in the last digit of a float.
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="hx-golden-"))
        env = {"HOME": str(place), "HARNEX_STATE_DIR": state, "TZ": "UTC"}
        # The places in the logs are of other machines; on this one, such a place
        # may lie in some repository.
        stack.enter_context(mock.patch.object(paths, "repo_root", new=str))
        stack.enter_context(mock.patch.dict(os.environ, env, clear=True))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        code = command.main([*names, "--from", cli, "--json", *options], standalone_mode=False)
    lines = [f"exit {code}", *(f"stderr {line}" for line in err.getvalue().split("\n") if line)]
    for key, found in json.loads(out.getvalue()).items():
        if isinstance(found, list):
            lines += [f"{key} {len(found)}", *(f"  {json.dumps(item, ensure_ascii=False)}" for item in found)]
        else:
            lines.append(f"{key} {json.dumps(found, ensure_ascii=False)}")
    return "".join(f"{line}\n" for line in lines).replace(f"{place}/", "")


def sections(cli: str, place: Path, kinds: dict[str, list[str]], every_call: bool) -> str:
    """Return all sections of a golden file. `kinds`: a name for a set of logs -> their paths."""
    out = []
    for kind, names in kinds.items():
        calls = printed(cli, place, names) if every_call else ""
        if every_call:
            out.append(f"== {kind}: --json\n{calls}")
        for by in BY if every_call else GROUPED:
            text = printed(cli, place, names, "--by", by)
            if by == "call":
                text = text.replace(_list(calls, "calls"), "calls: as without --by\n")
            out.append(f"== {kind}: --json --by {by}\n{text}")
    return "\n".join(out)


def _list(text: str, key: str) -> str:
    """Return the lines of a list, with the line of its key."""
    lines = text.split("\n")
    first = next(n for n, line in enumerate(lines) if line.startswith(f"{key} "))
    end = next(n for n, line in enumerate(lines) if n > first and not line.startswith("  "))
    return "\n".join(lines[first:end]) + "\n"


def text_of(cli: str, folders: list[Path]) -> str:
    """Return the golden text of these versions together."""
    with utc(), tempfile.TemporaryDirectory(prefix="hx-golden-") as made:
        place = Path(made)
        logs = [path for folder in folders for path in laid_out(folder, place)]
        streams = [path for folder in folders for path in captures(folder, place)]
        if len(folders) > 1:
            return sections(
                cli, place, {"logs": logs, "captures": streams, "both": [*logs, *streams]}, every_call=False
            )
        kinds = {"logs": logs, "captures": streams} if streams else {"logs": logs}
        return sections(cli, place, kinds, every_call=True)


def names() -> dict[str, tuple[str, list[Path]]]:
    """Return the golden files of `usage`: path -> CLI and folders of the corpus."""
    out: dict[str, tuple[str, list[Path]]] = {}
    for cli in LOGS:
        of_cli = [folder for folder in versions() if folder.parent == CORPUS / cli]
        has_logs = [f for f in of_cli if any(f.glob("run-*")) or any(f.glob("*.jsonl")) or any(f.glob("records"))]
        out |= {f"usage/{cli}/{folder.name}.txt": (cli, [folder]) for folder in has_logs}
        out[f"usage/{cli}/all.txt"] = (cli, has_logs)
    return out


def files() -> Iterator[tuple[str, str]]:
    """Yield all golden files of `usage`: path and text. Lazy."""
    for name, (cli, folders) in names().items():
        yield name, text_of(cli, folders)

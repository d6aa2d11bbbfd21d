"""Find what a command is about: a live session, or the newest run of an id.

The import must stay light: this module is on the hot path.
"""

from __future__ import annotations

from harnex import paths
from harnex.errors import HarnexError, NotFound
from harnex.store import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# How long to wait for another command that is ending dead runs or starting one.
PATIENCE_S = 10.0


def mend(state: str) -> None:
    """Write the end of runs whose supervisor is gone. Costs nothing when there are none."""
    records, _ = registry.all_records(state)
    if any(not registry.is_live(r) for r in records) or registry.unaccounted(state, records):
        if all(registry.is_live(r) for r in records):
            from harnex.store import runlock

            if not runlock.dead_runs(state):
                return  # the session is just being started
        from harnex.recovery.recover import recover_dead

        try:
            recover_dead(state, PATIENCE_S)
        except (OSError, HarnexError):
            # Nothing can be written here now, or the other command takes too long:
            # a later command mends it.
            pass


class _Elsewhere(NotFound):
    """The session of this id in this repository has ended, and another one lives elsewhere."""


def _live(state: str, session_id: str | None, repo: str | None, cli: str | None) -> dict[str, Any]:
    """Return the live session that is meant.

    An id that was used in this repository never selects a session of another repository: a second
    `stop` must not end that session. Raises NotFound or UsageError.
    """
    record = _begun(registry.find_live(state, session_id, repo, cli))
    if session_id is None or repo is not None or session_id.strip().lower() != record["id"]:
        return record
    here = paths.here()
    if record["repo"] != here:
        from harnex.store import history

        if history.newest(state, session_id, here) is not None:
            other = f"another '{record['id']}' lives in {record['repo']}: add --repo to mean that one"
            raise _Elsewhere(f"no live session '{session_id}' in this repository", other)
    return record


def _begun(record: dict[str, Any]) -> dict[str, Any]:
    """Wait until the session has started, and return its registry record.

    The registry names a session a moment before its agent, log and socket exist. Raises NotFound if
    the session did not start.
    """
    import time

    end = time.monotonic() + PATIENCE_S
    while (
        record.get("pid") is None and not record.get("damaged") and registry.is_live(record) and time.monotonic() < end
    ):
        time.sleep(0.02)
        now = registry.read(record["path"])
        if now is None or now["run_id"] != record["run_id"]:
            raise NotFound(f"session '{record['id']}' did not start", "why: harnex history")
        record = now
    return record


def live_session(session_id: str | None, repo: str | None, cli: str | None) -> dict[str, Any]:
    """Return the live session that is meant.

    Raises UsageError or NotFound. For a session that has ended, NotFound says how.
    """
    state = paths.state_dir()
    mend(state)
    try:
        return _live(state, session_id, repo, cli)
    except NotFound as e:
        ended = finished_run(state, session_id, repo) if session_id else None
        if ended is None:
            raise
        raise NotFound(
            f"session '{session_id}' has ended ({ended.get('reason')}, {ended.get('ended_at')})",
            e.hint
            if isinstance(e, _Elsewhere)
            else f"what it did: harnex logs --id {session_id}; start it again with: harnex run",
            id=ended.get("id"),
            run_id=ended.get("run_id"),
        ) from None


def finished_run(state: str, session_id: str | None, repo: str | None) -> dict[str, Any] | None:
    """Return the newest history record of an id: first from this repository, then from any."""
    if session_id is None:
        return None
    from harnex.store import history

    here = paths.repo_root(repo) if repo else paths.here()
    return history.newest(state, session_id, here) or (None if repo else history.newest(state, session_id))


def run_of(session_id: str | None, repo: str | None, cli: str | None) -> tuple[str, dict[str, Any], bool]:
    """Return (run directory, registry or history record, whether the run is live).

    Raises NotFound.
    """
    state = paths.state_dir()
    mend(state)
    try:
        record = _live(state, session_id, repo, cli)
        return paths.run_dir(state, record["run_id"]), record, True
    except NotFound:
        row = finished_run(state, session_id, repo)
        if row is None and session_id is None:
            row = _newest_here(state, repo, cli)
        if row is None:
            raise
        return paths.run_dir(state, row["run_id"]), row, False


def _newest_here(state: str, repo: str | None, cli: str | None) -> dict[str, Any] | None:
    """Return the run that ended last in this repository, for a command without an id."""
    from harnex.store import history

    here = paths.repo_root(repo) if repo else paths.here()
    found = None
    for row in history.rows(state):
        if row.get("repo") == here and (cli is None or row.get("cli") == cli):
            found = row
    return found

"""Start a session, from the launching command's side: resolve, prepare,
spawn, report the result."""

from __future__ import annotations

from harnex.launch.options import RunOptions
from harnex.launch.prepared import Prepared
from harnex.launch.resolved import resolve
from harnex.launch.spawn import spawn
from harnex.model.records import Json

# How long to wait for the supervisor's reply, beyond the agent's own `boot_s`. The reply takes a
# second unless the machine is swamped.
START_PATIENCE_S = 20.0


def start(options: RunOptions) -> Json:
    """Start a session. Returns what `run --detach` prints.

    Raises HarnexError; then nothing is left behind.
    """
    resolved = resolve(options)
    prepared = Prepared(resolved)
    try:
        spec = prepared.prepare()
        patience = START_PATIENCE_S + resolved.adapter.reader(resolved.version).boot_s
        reply = spawn(spec, prepared.endpoint, prepared.lock, patience)
    except BaseException:
        prepared.undo()
        raise
    prepared.let_go()
    return reply

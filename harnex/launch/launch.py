"""Starting a session, from the launching command's side: resolve, prepare, spawn, hear how it went."""

from __future__ import annotations

from harnex.launch.options import RunOptions
from harnex.launch.prepared import Prepared
from harnex.launch.resolved import resolve
from harnex.launch.spawn import spawn
from harnex.model.records import Json

# For the supervisor's word, after the agent's own `boot_s`. It takes a second unless the machine is swamped.
START_PATIENCE_S = 20.0


def start(options: RunOptions) -> Json:
    """Start a session. The reply is what `run --detach` prints. Raises HarnexError; nothing is left behind then."""
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

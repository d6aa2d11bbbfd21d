"""Replies to calls that are not part of the script: titles, warm-ups, summaries, auto mode's
monitor.

Pure.
"""

from __future__ import annotations

from harnex.rehearsal.endpoint.script import Step
from harnex.rehearsal.endpoint.wire import Call

SIDE = Step(text="Scripted session")
SIDE_SUMMARY = Step(text="<summary>\nThis is a scripted summary of the conversation so far.\n</summary>")
MONITOR = {  # in the two forms that Claude Code asks for (2.1.329 asks for the second)
    "allow": "<block>no</block>",
    "block": "<block>yes</block><category>Rehearsal</category><reason>[Rehearsal] a rehearsal judges no action; "
    'its script may say "monitor": "allow"</reason>',
}


SEVERITY = {"allow": 0, "block": 100}


def side_answer(call: Call, monitor: str) -> Step:
    """The reply to a call that is not part of the script.

    `monitor` is one of `allow` and `block`.
    """
    step = SIDE_SUMMARY if call.why == "summary" else SIDE
    text = step.text
    if call.why == "monitor":
        text = MONITOR[monitor]
    elif call.why == "monitor-severity":
        text = f"<severity>{SEVERITY[monitor]}</severity><category>Rehearsal</category>"
    for stop in call.stops:
        if stop in text:
            return Step(text=text.partition(stop)[0], stop_reason="stop_sequence")
    return Step(text=text)

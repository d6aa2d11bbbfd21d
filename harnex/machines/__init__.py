"""The state machines of a session.

Pure: no I/O, and `now` (monotonic seconds) is an argument. Each machine reports when it next needs
waking.

| subject | modules |
| --- | --- |
| the state | `activity` weighs the sources, `status` overrides them, `changes` limits storms |
| turns | `turns` |
| messages | `inbox` (delivery and its proofs), `waiting` (when a waiting caller may return) |
| views that a person left open | `leaving` |
| dialogs | `answering` |
| model calls | `measure` (whether they are being counted) |
| background work | `background` |
| the end | `ending` (its phases), `stopping` (the ladder), `answered` (the last headless result) |
| viewers | `viewing` (the part of the output that goes on to them) |
"""

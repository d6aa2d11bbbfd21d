"""The state machines of a session. Pure: no I/O, `now` is an argument, each says when it next needs waking.

| subject | modules |
| --- | --- |
| the state | `activity` weighs the sources, `status` adds what overrides them and says the state, `changes` limits storms |
| turns and messages | `turns`, `inbox` (delivery and its proofs), `leaving` (views that a person left open), `waiting` (who waits for what) |
| dialogs | `answering` |
| model calls | `measure` (are they being counted) |
| background work | `background` |
| the end | `ending` (its phases), `stopping` (the ladder), `answered` (when a headless result is the last word) |
| viewers | `viewing` (what of the output goes on to them) |
"""

"""The state machines of a session. Pure: no I/O, `now` is an argument, each says when it next needs waking.

`activity` says the state, `turns` the turns, `inbox` the delivery, `answering` the dialogs, `waiting` who waits for what,
`stopping` the ladder of an end, `background` what the agent left running.
"""

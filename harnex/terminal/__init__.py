"""The agent's terminal, as bytes and as a screen. Pure.

`scanner` reads every byte in order (queries, titles, OSC, `modes`). `emulator` paints (`grid`,
`cells`). `screen` is the interface to the painted screen. `draw` and `frames` show the screen to
people and to recordings.
"""

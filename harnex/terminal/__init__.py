"""The agent's terminal, as bytes and as a screen. Pure.

`scanner` reads every byte in its turn (queries, titles, OSC, `modes`); `emulator` paints (`grid`, `cells`); `screen` is
what a reader sees of it; `draw` and `frames` show it to people and to recordings.
"""

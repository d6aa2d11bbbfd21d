"""The supervisor: one process for each session. `session` wires the machines to the world; `__main__` is its entry."""

"""What model calls used: `sources` finds them (runs and the CLIs' own files), `sums` adds them, `prices` says their cost.

`logs` reads files of the CLIs; `kin` finds what Codex copied from one file into another; `chats` shows a single call.
"""

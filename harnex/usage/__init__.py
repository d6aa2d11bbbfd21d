"""What model calls used: `sources` finds them (runs and the CLIs' own files), `sums` adds them, `prices` says their cost.

`logs` reads files of the CLIs; `chats` shows a single call.
"""

"""Runs whose supervisor is gone.

`recover` ends such a run once: `fold` reads its log, `reread` reads the agent's files, and
`write_end` adds what is missing. `resume` starts an ended run again where it was, and `go_on` words
the message that the agent gets.
"""

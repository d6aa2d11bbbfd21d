"""Runs whose supervisor is gone.

`recover` ends them once (`fold` reads their log, `reread` the agent's files, `write_end` adds what is missing); `resume`
starts an ended run again where it was (`go_on` says what the agent is told).
"""

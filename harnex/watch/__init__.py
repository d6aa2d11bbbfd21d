"""The watch of an unattended agent.

Pure: the session passes what it sees to `watch`, and `watch` returns what to do (`actions`).

Each reason to act has a module: `stalls`, `news`, `budget`, `checks`, `dialogs`, `provider`,
`restarts`, `background`. `policy` is what a person allowed.
"""

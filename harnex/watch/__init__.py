"""The watch of an unattended agent. Pure: `watch` is asked with what the session sees, and says what to do (`actions`).

Each reason to act has a module: `stalls`, `news`, `budget`, `checks`, `dialogs`, `provider`, `restarts`, `background`.
`policy` is what a person allowed.
"""

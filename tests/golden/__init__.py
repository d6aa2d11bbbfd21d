"""The golden net: what harnex says about recorded agents, written down so that no change
of its inside goes unseen.

The files under `tests/golden/` are the contract as it is. The tests in `tests/unit/golden/` compute
them again and compare. `python -m tests.golden` rewrites them after an intended change and prints
which files changed. Read the diff before you commit it: each changed line is a change for a user.

A part is a module with `files()`, which yields (path below `tests/golden/`, text). A part
owns its folders: `FOLDERS`.
"""

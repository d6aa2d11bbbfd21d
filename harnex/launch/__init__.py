"""Start a session, from the launching command's side, and note what was started.

`launch` starts the session: `resolved` makes the options definite, `prepared` writes what the run
needs, and `spawn` starts the supervisor. `options` are what a person asked for, and `spec` is what
the supervisor gets. `startfile` and `manifest` stay in the run's directory. `environment`,
`versions`, `lease`, `rehearse`, `limits` and `files` are what a start needs. `answer_schema`
checks a headless answer.
"""

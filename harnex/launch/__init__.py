"""Starting a session, from the launching command's side, and what is noted of it.

`launch` starts it: `resolved` makes the options definite, `prepared` writes what the run needs, `spawn` starts the
supervisor. `options` are what a person asked for, `spec` is what the supervisor gets, `startfile` and `manifest` stay in
the run's directory. `environment`, `versions`, `lease`, `rehearse`, `limits` and `files` are what a start needs.
`answer_schema` checks a headless answer.
"""

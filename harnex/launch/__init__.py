"""Starting a session, from the launching command's side, and what is noted of it.

`launch` prepares and spawns; `spec` goes to the supervisor; `startfile` and `manifest` stay in the run's directory;
`environment`, `versions`, `lease` and `rehearse` are what a start needs.
"""

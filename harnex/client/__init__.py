"""The client's end of a session's control socket: `connect` (one request), `attach` (its terminal),
`tmux`.
"""

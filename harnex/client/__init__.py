"""The client's end of a session's control socket.

`connect` sends one request, `attach` shows the session's terminal, `tmux` opens windows.
"""

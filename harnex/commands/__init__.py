"""One module per command, imported when the command is called.

A module whose name begins with `_` serves several commands.
"""

# Scripts call these commands in loops. They are parsed without click: importing click takes
# longer than the commands.
HOT = ("status", "send", "wait", "events")

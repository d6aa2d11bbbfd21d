"""One module per command, imported when it is called; a module whose name begins with `_` serves several."""

# The commands that scripts call in loops: they are parsed without click, whose import costs more than they do.
HOT = ("status", "send", "wait", "events")

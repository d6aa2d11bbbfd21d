"""Claude Code. `adapter` starts it, types to it and ends it; `reader` reads what it says while it runs; `log` reads its files."""

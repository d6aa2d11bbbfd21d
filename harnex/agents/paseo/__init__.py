"""Paseo: a daemon that runs Claude Code and Codex. `adapter` is the entry; `state` reads the agent's state."""

"""Codex CLI. `adapter` starts it, types to it and ends it; `rollout` reads its record; `log` reads its files."""

"""Paseo, as the catalogue knows it."""

from harnex.agents.contract import AgentKind, RunOption

KIND = AgentKind(
    name="paseo",
    adapter="harnex.agents.paseo.adapter",
    runs=("claude", "codex"),
    npm="@getpaseo/cli",
    titles=("paseo",),  # it answers a version alone: `0.1.65-beta.5`
    options=(
        RunOption("provider", "P/MODEL", "Paseo: which agent it runs, as claude/MODEL or codex/MODEL."),
        RunOption("paseo-host", "HOST", "Paseo: use the daemon there (host:port, unix:///path), and never stop it."),
        RunOption("adopt", "AGENT_ID", "Paseo: take over an agent that runs on that daemon already."),
    ),
)

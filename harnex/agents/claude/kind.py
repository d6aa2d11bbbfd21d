"""Claude Code, as the catalogue knows it."""

from harnex.agents.contract import AgentKind

KIND = AgentKind(
    name="claude",
    adapter="harnex.agents.claude.adapter",
    headless="harnex.agents.claude.headless",
    logs="harnex.agents.claude.files",
    record="harnex.agents.claude.record",
    npm="@anthropic-ai/claude-code",
    titles=("Claude Code", "claude"),  # `2.1.329 (Claude Code)`
    price_provider="anthropic",
    leases=True,
    credential_files=(".credentials.json", "api-key"),
    conversation=("transcript",),  # those of sub-agents are not enough
    signals=("hooks",),
    variables=("CLAUDE_CONFIG_DIR", "ANTHROPIC_BASE_URL"),
)

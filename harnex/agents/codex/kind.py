"""Codex, as the catalogue knows it."""

from harnex.agents.contract import AgentKind

KIND = AgentKind(
    name="codex",
    adapter="harnex.agents.codex.adapter",
    headless="harnex.agents.codex.headless",
    logs="harnex.agents.codex.files",
    record="harnex.agents.codex.record",
    npm="@openai/codex",
    titles=("codex-cli", "codex"),  # `codex-cli 0.169.0`
    price_provider="openai",
    leases=True,
    credential_files=("auth.json",),
    conversation=("rollout",),
    signals=("notify",),
    variables=("CODEX_HOME", "OPENAI_BASE_URL"),
)

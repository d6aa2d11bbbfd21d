"""The bundled agent, as the catalogue knows it."""

from harnex.agents.contract import AgentKind

KIND = AgentKind(
    name="demo",
    adapter="harnex.agents.demo.adapter",
    is_agent=False,
    credential_files=("credential",),
)

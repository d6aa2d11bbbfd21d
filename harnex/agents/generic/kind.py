"""Any other program, as the catalogue knows it."""

from harnex.agents.contract import AgentKind

KIND = AgentKind(name="generic", adapter="harnex.agents.generic.adapter", is_agent=False)

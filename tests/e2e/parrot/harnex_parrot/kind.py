"""Parrot, as harnex's catalogue knows it: the entry point `parrot` of the group `harnex.agents` names `KIND`."""

from harnex.agents.contract import AgentKind, RunOption

KIND = AgentKind(
    name="parrot",
    adapter="harnex_parrot.adapter",
    logs="harnex_parrot.logs",
    titles=("Parrot",),
    options=(RunOption("parrot-tone", "TONE", "Parrot: loud, or as it is."),),
    price_provider="anthropic",
    variables=("PARROT_SESSION",),
)

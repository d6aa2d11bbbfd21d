"""The agent CLIs: one folder each. From outside, use `catalogue` (names, and what there is for each) and `contract` (the port).

`common` is what several agents share. No agent's folder imports another's.
"""

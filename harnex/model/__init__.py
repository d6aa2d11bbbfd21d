"""The words of the domain: `facts` (what is read from an agent), `events` (schema v1), `protocol` (the control channel).

Every other room may import from here. Pure: no I/O, no clock.
"""

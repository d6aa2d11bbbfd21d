"""The words of the domain.

`facts` is what is read from an agent, `events` is schema v1, `protocol` is the control channel.
Every other package may import from here. Pure: no I/O, no clock.
"""

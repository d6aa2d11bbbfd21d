"""Rehearsal (DESIGN section 9).

A scripted model on loopback for the real agent CLIs, and a scripted terminal agent.
"""

"""Rehearsal: a scripted model on loopback for the real agent CLIs, and a scripted terminal agent
(DESIGN section 9).
"""

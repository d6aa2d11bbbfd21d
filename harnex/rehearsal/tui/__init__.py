"""The bundled agent: a small scripted program for terminals, `python -m harnex.rehearsal.tui`."""

"""The bundled scripted agent."""

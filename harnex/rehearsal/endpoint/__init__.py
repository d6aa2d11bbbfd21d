"""The scripted models: an HTTP server on loopback that answers as the providers do."""

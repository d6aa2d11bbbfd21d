"""What is on disk, and who may change it: event logs, the registry, history, recordings, locks."""

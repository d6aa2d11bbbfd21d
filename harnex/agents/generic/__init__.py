"""Any other terminal program."""

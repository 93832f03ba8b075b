"""The permission catalogue and the check: it decides."""

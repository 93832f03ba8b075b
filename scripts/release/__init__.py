"""What `make release` does, a step in each module; docs/releasing.md is for whoever releases or verifies."""

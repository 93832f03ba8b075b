"""The stream of changes: for services that keep answers of the check in their own memory (docs/changes.md)."""

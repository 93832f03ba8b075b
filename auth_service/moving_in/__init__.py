"""Accounts of another system: read from its file, checked, and taken in with their hashes, roles and authenticators."""

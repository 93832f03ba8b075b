"""Identities of the other cinema services that ask for checks."""

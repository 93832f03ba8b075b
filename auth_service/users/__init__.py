"""Accounts: one's own and, for the command line, everyone's."""

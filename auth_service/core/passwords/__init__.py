"""Passwords: their rules, their hashes, and the lists that guessers begin with."""

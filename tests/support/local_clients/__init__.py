"""Trials of the client's promise: no answer of its memory is older than its bound, whatever happens meanwhile."""

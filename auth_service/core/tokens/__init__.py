"""Access tokens, the keys that sign them, and what is denied before it expires."""

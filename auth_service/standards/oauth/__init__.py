"""OAuth by its text, for clients that we did not write: service tokens, introspection, revocation, metadata."""

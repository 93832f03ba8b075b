"""Where OAuth's own rules hold: bodies by form, errors with `error_description` (RFC 6749 sections 3.2 and 5.2)."""

TOKEN_PATH = "/api/v1/auth/token"  # noqa: S105
INTROSPECTION_PATH = "/api/v1/auth/introspect"
REVOCATION_PATH = "/api/v1/auth/revoke"
OAUTH_PATHS = frozenset({TOKEN_PATH, INTROSPECTION_PATH, REVOCATION_PATH})

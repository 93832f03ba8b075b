"""The permissions that this service itself asks for."""

CHECK_OTHERS = "permissions:check"
INTROSPECT = "tokens:introspect"
# What our own routes ask for: without them in the catalogue nobody could administer anything.
OWN_CODES = frozenset(
    {
        CHECK_OTHERS,
        INTROSPECT,
        "audit:read",
        "changes:read",
        "permissions:read",
        "permissions:write",
        "roles:read",
        "roles:write",
        "roles:grant",
        "services:read",
        "services:write",
        "users:delete",
        "users:read",
        "users:write",
        "webhooks:read",
        "webhooks:write",
    }
)

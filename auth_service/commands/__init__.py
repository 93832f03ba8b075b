"""The groups of the `auth-service` command; each calls the same services as the API."""

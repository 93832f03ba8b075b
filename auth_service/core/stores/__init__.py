"""How Postgres and Redis are opened, waited for, and migrated."""

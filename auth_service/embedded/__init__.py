"""A real PostgreSQL, a real Redis and a Kafka broker from PyPI wheels, for `auth-service dev` and the tests."""

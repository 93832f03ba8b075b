"""For the tests of a service that uses the client: an auth-service in memory, which a test tells who may do what.

With pytest there is a fixture `auth`, see docs/sdk.md; elsewhere `FakeAuth()` is the same.
"""

from auth_service_client.testing.fake import FakeAuth

__all__ = ["FakeAuth"]

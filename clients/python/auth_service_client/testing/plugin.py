"""The pytest plugin: the fixture `auth`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from auth_service_client.testing.fake import FakeAuth


@pytest.fixture
def auth() -> "Iterator[FakeAuth]":
    """An AuthClient whose service is in memory and says what the test tells it: `auth.grant(user, "films:watch")`."""
    from auth_service_client.testing.fake import FakeAuth  # only for who uses it

    fake = FakeAuth()
    yield fake
    fake.restore()

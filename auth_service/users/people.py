"""People as lists name them."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from auth_service.mail.addresses import shown
from auth_service.permissions.repository import Fetches

_PEOPLE = "SELECT id, login, email, full_name FROM users WHERE id = ANY($1::uuid[])"


@dataclass(frozen=True, slots=True)
class Person:
    """`email`, as people read it, and `full_name` are None for whoever may not see them (PERSONAL_DATA)."""

    id: UUID
    login: str
    email: str | None
    full_name: str | None


async def find_people(source: Fetches, ids: Collection[UUID], *, personal: bool) -> dict[UUID, Person]:
    """Those that there still are."""
    people = {}
    for row in await source.fetch(_PEOPLE, list(ids)) if ids else ():
        user_id = UUID(int=row["id"].int)
        email, name = (shown(row["email"]), row["full_name"]) if personal else (None, None)
        people[user_id] = Person(user_id, row["login"], email, name)
    return people

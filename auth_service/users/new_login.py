"""A login to offer where only an e-mail address was given."""

import re
from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.confusables import look
from auth_service.users.identifiers import MAX_LOGIN, canonical_login
from auth_service.users.look_alikes import taken_looks

MOST = 100  # numbers to try behind it; then chance decides
_NOT_IN_LOGINS = re.compile(r"[^\w.-]+")
_ROOM = len(str(MOST)) + 1


def login_of(email: str) -> str:
    """What stands before the @, as far as a login may have it; `user` where nothing of it is left. Pure."""
    local = _NOT_IN_LOGINS.sub("-", email.rpartition("@")[0])[: MAX_LOGIN - _ROOM].strip("._-")
    try:
        canonical_login(local)
    except ValueError:
        return "user"
    return local


async def free_login(session: AsyncSession, email: str) -> str:
    """One that nobody has at this moment, nor one that looks like it: with a number behind it if need be."""
    login = login_of(email)
    candidates = [login, *(f"{login}{number}" for number in range(2, MOST + 1))]
    taken = await taken_looks(session, [look(name) for name in candidates])
    return next((name for name in candidates if look(name) not in taken), f"user-{uuid4().hex[:12]}")


async def free_logins(session: AsyncSession, emails: Sequence[str], used: set[str]) -> list[str]:
    """As `free_login`, for many accounts that come at once. `used` has the looks that are about to be taken; it gets
    those of the answer too.
    """
    chosen: dict[int, str] = {}
    waiting: dict[str, list[int]] = {}
    for place, email in enumerate(emails):
        waiting.setdefault(login_of(email), []).append(place)
    for number in range(1, MOST + 1):
        offers = {look(name): (base, name) for base in waiting for name in [f"{base}{number}" if number > 1 else base]}
        taken = used | await taken_looks(session, list(offers))
        for mine, (base, name) in offers.items():
            if mine not in taken:
                chosen[waiting[base].pop(0)] = name
        used.update(offers)
        waiting = {base: places for base, places in waiting.items() if places}
        if not waiting:
            break
    return [chosen.get(place, f"user-{uuid4().hex[:12]}") for place in range(len(emails))]

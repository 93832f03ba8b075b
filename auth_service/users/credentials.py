"""Checks passwords within a budget of failures that every route shares (LOG-2, LOG-5)."""

import hashlib
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import update

from auth_service.core.connections import Resources
from auth_service.models import User
from auth_service.users import attempts


class Outcome(StrEnum):
    """The last three are one and the same to the client (LOG-1)."""

    RIGHT = "right"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105
    LOCKED = "locked"
    INACTIVE = "inactive"


async def verify_password(resources: Resources, user: User | None, identifier: str, password: str) -> Outcome:
    """The same work for a user and for nobody: one try, one hash. An old hash is replaced after a match (PWD-5)."""
    key = str(user.id) if user is not None else _nobody_key(resources, identifier)
    async with resources.hasher.slot() as slot:
        # Counted in the turn at the core: parallel right passwords never hold more tries than there are cores (LOG-6).
        lock = timedelta(seconds=resources.settings.login_lock_seconds)
        if not await attempts.take(resources, key, limit=resources.settings.login_failure_limit, window=lock):
            await slot.verify_nobody(password)
            return Outcome.LOCKED
        if user is None:
            await slot.verify_nobody(password)
            return Outcome.WRONG_PASSWORD
        matches, upgraded = await slot.verify(password, user.password_hash)
        if not matches:
            return Outcome.WRONG_PASSWORD
        if not user.is_active:
            return Outcome.INACTIVE
        # Still in the turn: a try that was right is given back before the next one is taken.
        await attempts.clear(resources, key)
    if upgraded is not None:
        await _replace_hash(resources, user.id, user.password_hash, upgraded)
    return Outcome.RIGHT


def _nobody_key(resources: Resources, identifier: str) -> str:
    # What strangers type may be a password in the wrong field: it is kept only as a keyed hash.
    mac = resources.secrets.refresh_mac(f"nobody:{identifier}".encode())
    return f"nobody:{hashlib.sha256(mac).hexdigest()}"


async def _replace_hash(resources: Resources, user_id: UUID, old: str, new: str) -> None:
    async with resources.db.begin() as session:
        # Only if nobody changed the password meanwhile.
        await session.execute(
            update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new)
        )

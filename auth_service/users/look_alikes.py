"""New logins must not look like another account's; accounts that do so already keep theirs (REG-2).

A row of `login_looks` for each account says what its login looks like. It comes by a trigger, so that the code of a
version before this makes one too, without a look; `fill` adds that. What this code has checked is `claimed`, and
unique: of racers one wins. What was there before, or came by older code, is only compared with.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy import or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.confusables import look
from auth_service.core.connections import Resources
from auth_service.core.errors import LoginTaken
from auth_service.core.turns import in_turns
from auth_service.models import LoginLook, User

log = structlog.get_logger(__name__)

FILL_SECONDS = 60
BATCH = 1000

PAUSES = (0.1, 0.5, 1, 2, 4)
_WITHOUT = "NOT EXISTS (SELECT FROM login_looks l WHERE l.user_id = u.id)"
_MISSES_ROWS = text(f"SELECT EXISTS (SELECT FROM users u WHERE {_WITHOUT})")  # noqa: S608  our own words
_SET_LOOKS = text(
    "UPDATE login_looks l SET look = made.look, claimed = :checked"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:looks AS text[])) AS made (user_id, look) WHERE l.user_id = made.user_id"
)
# Those that are locked are left out: this and a change of their login could wait for each other.
_ADD_ROWS = text(f"""
WITH rowless AS (
    SELECT id FROM users u WHERE id > :after AND {_WITHOUT} ORDER BY id LIMIT :batch FOR KEY SHARE SKIP LOCKED
), added AS (INSERT INTO login_looks (user_id) SELECT id FROM rowless ON CONFLICT DO NOTHING)
SELECT id FROM rowless ORDER BY id DESC LIMIT 1
""")  # noqa: S608


async def claim(session: AsyncSession, user: User, *, before: str | None = None) -> None:
    """For the user's new login, in the transaction that writes it, after everything unique in `users`.

    Raises LoginTaken; of two transactions at once the second gets an IntegrityError (`repository.taken`). `before`:
    the login until now, whose look-alikes are the user's own.
    """
    await session.flush()
    mine = look(user.login)
    kept = before is not None and look(before) == mine
    row = insert(LoginLook).values(user_id=user.id, look=mine, claimed=not kept)
    changed = {"look": mine} if kept else {"look": mine, "claimed": True}
    await session.execute(row.on_conflict_do_update(index_elements=[LoginLook.user_id], set_=changed))
    if not kept and await _unclaimed(session, [mine], but=[user.id]):
        raise LoginTaken


async def claim_many(session: AsyncSession, users: Sequence[tuple[UUID, str]], *, checked: bool) -> None:
    """For ids and looks of new accounts, which are claimed if they are `checked`; raises as `claim` does."""
    ids, looks = [user_id for user_id, _ in users], [mine for _, mine in users]
    await session.execute(_SET_LOOKS, {"ids": ids, "looks": looks, "checked": checked})
    if checked and await _unclaimed(session, looks, but=ids):
        raise LoginTaken


async def taken_looks(session: AsyncSession, looks: Sequence[str]) -> set[str]:
    """Those of them that an account's login has."""
    found = set(await session.scalars(select(LoginLook.look).where(LoginLook.look.in_(looks))))
    return {mine for mine in found if mine is not None} | await _unclaimed(session, looks, but=[])


async def fill(resources: Resources) -> int:
    """How many logins got their look: those of accounts that code of an older version made or renamed."""
    count = 0
    while filled := await _fill_some(resources):
        count += filled
    return count


async def add_missing(resources: Resources) -> None:
    """For the accounts of before the migration that made the table. Can be run again and again."""
    for pause in PAUSES:
        await _add_rows(resources)
        if (count := await fill(resources)) > 0:
            log.info("login_looks_filled", count=count)
        async with resources.db() as session:
            if not await session.scalar(_MISSES_ROWS):
                return
        await asyncio.sleep(pause)
    log.warning("login_looks_missing", remedy="run auth-service migrate again: accounts were locked for long")


async def _unclaimed(session: AsyncSession, looks: Sequence[str], *, but: Sequence[UUID]) -> set[str]:
    """Those of the looks that a login has which nobody checked; `but`: of other accounts than these."""
    statement = (
        select(LoginLook.look, User.login)
        .join(User, User.id == LoginLook.user_id)
        .where(
            or_(LoginLook.look.in_(looks) & ~LoginLook.claimed, LoginLook.look.is_(None)),
            LoginLook.user_id.not_in(but),
        )
    )
    rows = await session.execute(statement)
    return {known or look(login) for known, login in rows} & set(looks)


async def _fill_some(resources: Resources) -> int:
    unfilled = select(LoginLook.user_id).where(LoginLook.look.is_(None)).limit(BATCH).with_for_update(skip_locked=True)
    async with resources.db.begin() as session:
        ids = (await session.scalars(unfilled)).all()
        # Read under the lock: whoever changes one of these logins now waits for it, and marks the row again.
        rows = (await session.execute(select(User.id, User.login).where(User.id.in_(ids)))).all()
        looks: list[tuple[UUID, str]] = []
        async for some in in_turns(rows):
            looks += [(user_id, look(login)) for user_id, login in some]
        await claim_many(session, looks, checked=False)
    return len(ids)


async def _add_rows(resources: Resources) -> None:
    """One walk along all accounts, past those that are locked."""
    after: UUID | None = UUID(int=0)
    while after is not None:
        async with resources.db.begin() as session:
            after = await session.scalar(_ADD_ROWS, {"after": after, "batch": BATCH})

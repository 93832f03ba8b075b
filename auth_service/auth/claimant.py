"""Whom a login says it is of, with all that the decision about it needs, in one statement.

The same for a login that nobody has, and whoever's device it is that came along: asking takes as long (LOG-1).
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.row_tokens import read_token
from auth_service.core.stores.postgres_pools import lent_by

_FIND = """
SELECT claimed.*, CASE WHEN d.user_id = claimed.id THEN d.id END AS device_id,
    CASE WHEN d.user_id = claimed.id THEN d.trusted_until END AS trusted_until
FROM (SELECT) AS always LEFT JOIN devices d ON d.id = $2 AND d.secret_hash = $3
LEFT JOIN LATERAL (
    SELECT u.id, u.password_hash, u.is_active, u.credentials_version, t.user_id IS NOT NULL AS has_second_factor
    FROM users u LEFT JOIN mfa_totp t ON t.user_id = u.id AND t.confirmed_at IS NOT NULL
    WHERE u.{column} = $1
) AS claimed ON true
"""
_FIND_BY_LOGIN, _FIND_BY_EMAIL = (_FIND.format(column=column) for column in ("login_key", "email_key"))


@dataclass(frozen=True, slots=True)
class Claimant:
    """`device_id` and `trusted_until` only of a device of this very user. Nothing of it is locked: whatever must not
    have changed meanwhile raises `credentials_version`, which the session's start compares.
    """

    id: UUID
    password_hash: str
    is_active: bool
    credentials_version: int
    has_second_factor: bool
    device_id: UUID | None
    trusted_until: datetime | None


async def find_claimant(resources: Resources, key: str, device_token: str | None, *, is_email: bool) -> Claimant | None:
    """By the canonical login or e-mail address."""
    device_id, secret_hash = read_token(device_token or "") or (None, None)
    async with lent_by(resources.engine) as connection:
        found = await connection.fetchrow(_FIND_BY_EMAIL if is_email else _FIND_BY_LOGIN, key, device_id, secret_hash)
    if found["id"] is None:
        return None
    return Claimant(**found)

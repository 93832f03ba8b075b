"""Between the password and the code: a challenge that is good for one login and nothing else (LOG-8)."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.errors import AppError, InvalidCredentials
from auth_service.core.row_tokens import new_secret, read_token, write_token
from auth_service.locks import lock_user
from auth_service.mfa import repository
from auth_service.mfa.service import WrongCode, check_code
from auth_service.models import LoginChallenge, new_id
from auth_service.sessions.client import Client
from auth_service.sessions.devices import find_in
from auth_service.sessions.history import record_failure
from auth_service.users import attempts
from auth_service.users.credentials import take_of_address

LIFE = timedelta(minutes=5)
TRIES = 5


class InvalidChallenge(AppError):
    """Unknown, used, expired, or out of tries: log in with the password again."""

    status, code, detail = 401, "invalid_challenge", "This login step is over; log in again."


class WrongLoginCode(AppError):
    status, code, detail = 401, "invalid_code", "The code is wrong or was used before."


@dataclass(frozen=True, slots=True)
class OpenChallenge:
    """What the client gets instead of tokens; `expires_in` in seconds."""

    challenge: str
    expires_in: int
    mfa_required: bool = True


async def open_challenge(
    resources: Resources, user_id: UUID, credentials_version: int, device_name: str | None, device_id: UUID | None
) -> OpenChallenge:
    """Of its text only a hash is kept; `credentials_version` is the one of before the check.

    Raises InvalidCredentials where the account was deleted meanwhile.
    """
    challenge_id, (secret, secret_hash), now = new_id(), new_secret(), resources.clock()
    async with resources.db.begin() as session:
        if await lock_user(session, user_id) is None:
            raise InvalidCredentials
        device = await find_in(session, user_id, device_id)  # which may have been revoked
        session.add(
            LoginChallenge(
                id=challenge_id,
                user_id=user_id,
                credentials_version=credentials_version,
                secret_hash=secret_hash,
                device_id=device.id if device else None,
                device_name=device_name,
                created_at=now,
                expires_at=now + LIFE,
            )
        )
    return OpenChallenge(write_token(challenge_id, secret), int(LIFE.total_seconds()))


async def answer_challenge(resources: Resources, text: str, code: str, client: Client) -> LoginChallenge:
    """The challenge, used up; raises InvalidChallenge, or WrongLoginCode while it has tries left.

    Raises TooManyFailures for a stranger whose address has used up its tries.
    """
    named = read_token(text)
    if named is None:
        raise InvalidChallenge
    async with resources.db.begin() as session:  # the count must survive a refusal
        challenge = await repository.take_challenge(session, *named, resources.clock(), TRIES)
    if challenge is None:
        raise InvalidChallenge
    stranger = challenge.device_id is None
    if stranger:
        await take_of_address(resources, client.ip)
    try:
        await check_code(resources, challenge.user_id, code)
    except WrongCode:
        resources.metrics.logins.labels("wrong_code").inc()
        await record_failure(resources, challenge.user_id, "wrong_code", client)
        raise WrongLoginCode from None
    resources.metrics.logins.labels("right_code").inc()
    if stranger:
        await attempts.give_back(resources, attempts.address_key(client.ip))
    async with resources.db.begin() as session:
        if not await repository.use_challenge(session, challenge.id, resources.clock()):
            raise InvalidChallenge
    return challenge

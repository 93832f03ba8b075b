"""Log in, step up, log out; what the rest of the service calls a session begins and ends here."""

from dataclasses import replace
from uuid import UUID

import structlog

from auth_service.auth.claimant import find_claimant
from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidCredentials, InvalidRefreshToken, ValidationFailed
from auth_service.core.principal import Principal
from auth_service.core.tokens.access_tokens import InvalidToken
from auth_service.mfa.challenges import InvalidChallenge, OpenChallenge, answer_challenge, open_challenge
from auth_service.mfa.service import check_code
from auth_service.sessions.client import Client
from auth_service.sessions.devices import is_trusted
from auth_service.sessions.history import record_failure
from auth_service.sessions.refresh_token import read_refresh_token
from auth_service.sessions.service import end_session
from auth_service.sessions.start import IssuedTokens, Proof, replace_session, start_session
from auth_service.users.credentials import Origin, Outcome, verify_password
from auth_service.users.identifiers import lookup_key
from auth_service.users.service import confirm_password, get_user

log = structlog.get_logger(__name__)


async def log_in(resources: Resources, identifier: str, password: str, client: Client) -> IssuedTokens | OpenChallenge:
    """Tokens, or a challenge where a second factor is due.

    Raises InvalidCredentials, the same and as late for every cause; the history knows which. TooManyFailures says
    something of the address alone.
    """
    key, is_email = lookup_key(identifier)
    user = await find_claimant(resources, key, client.device_token, is_email=is_email)
    origin = Origin(client.ip, user.device_id if user else None)
    outcome = await verify_password(resources, user, key, password, origin)
    resources.metrics.logins.labels("unknown_login" if user is None else outcome).inc()
    if user is None or outcome is not Outcome.RIGHT:
        reason = "unknown_login" if user is None else str(outcome)
        await record_failure(resources, user.id if user else None, reason, client)
        raise InvalidCredentials
    proof = Proof(user.credentials_version, device_id=origin.device_id)
    if user.has_second_factor:
        if not is_trusted(user.trusted_until, resources.clock()):
            return await open_challenge(
                resources, user.id, user.credentials_version, client.device_name, origin.device_id
            )
        proof = replace(proof, by_trust=True)
    return await start_session(resources, user.id, client, proof)


async def log_in_with_code(
    resources: Resources, challenge: str, code: str, client: Client, *, trust_device: bool = False
) -> IssuedTokens:
    """The second half of a login; raises InvalidChallenge, WrongLoginCode or TooManyFailures."""
    await resources.denylist.must_be_there()  # the session needs Redis too: no code is used up for a 503
    answered = await answer_challenge(resources, challenge, code, client)
    client = replace(client, device_name=answered.device_name)
    proof = Proof(
        answered.credentials_version, device_id=answered.device_id, second_factor=True, trust_device=trust_device
    )
    try:
        return await start_session(resources, answered.user_id, client, proof)
    except InvalidCredentials:
        raise InvalidChallenge from None  # what the challenge stood for has changed


async def step_up(
    resources: Resources, user_id: UUID, session_id: UUID, *, current_password: str | None, code: str | None
) -> IssuedTokens:
    """The session under a new id, freshly authenticated; with a code also its second factor is fresh.

    Raises WrongPassword, WrongCode, MfaNotEnabled, or ValidationFailed where neither is given.
    """
    if current_password is None and code is None:
        raise ValidationFailed("give current_password, code, or both")
    user = await get_user(resources, user_id)
    if current_password is not None:
        user = await confirm_password(resources, user_id, session_id, current_password)
    if code is not None:
        await resources.denylist.must_be_there()  # or a code would be used up for a 503
        await check_code(resources, user_id, code)
    proof = Proof(user.credentials_version, second_factor=code is not None)
    issued = await replace_session(resources, user_id, session_id, proof)
    log.info("stepped_up", user_id=str(user_id), second_factor=code is not None)
    return issued


async def log_out(resources: Resources, access_token: str | None, refresh_token: str | None) -> None:
    """Ends the sessions of the given tokens, expired ones too; junk is no error (OUT-4, RFC 7009 section 2.2)."""
    if access_token is not None:
        try:
            claims = await resources.keys.verify(access_token, expired_too=True)
        except InvalidToken:
            claims = None
        if claims is not None and claims.kind == "service":
            await deny_token(resources, Principal(claims))
        elif claims is not None:
            await end_session(resources, claims.session_id, "logout")
    if refresh_token is not None:
        try:
            session_id = read_refresh_token(resources.secrets, refresh_token).session_id
        except InvalidRefreshToken:
            return
        await end_session(resources, session_id, "logout")


async def deny_token(resources: Resources, caller: Principal) -> None:
    """Ends this one access token; a service account has no session to end."""
    denials = [resources.denylist.token(caller.claims)]
    async with resources.db.begin() as session:
        await resources.denylist.record(session, denials)
    await resources.denylist.publish(denials)

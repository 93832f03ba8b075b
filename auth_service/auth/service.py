"""Log in, log out; what the rest of the service calls a session begins and ends here."""

from dataclasses import replace

from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidCredentials, InvalidRefreshToken
from auth_service.core.principal import Principal
from auth_service.core.tokens import InvalidToken
from auth_service.mfa.challenges import InvalidChallenge, OpenChallenge, answer_challenge, open_challenge
from auth_service.mfa.service import is_enabled
from auth_service.sessions.history import record_failure
from auth_service.sessions.refresh_token import read_refresh_token
from auth_service.sessions.service import Client, IssuedTokens, end_session, start_session
from auth_service.users.credentials import Outcome, verify_password
from auth_service.users.identifiers import lookup_key
from auth_service.users.service import find_by_login_or_email


async def log_in(resources: Resources, identifier: str, password: str, client: Client) -> IssuedTokens | OpenChallenge:
    """Tokens, or a challenge where a second factor is due.

    Raises InvalidCredentials, the same and as late for every cause; the history knows which.
    """
    key, is_email = lookup_key(identifier)
    user = await find_by_login_or_email(resources, key, is_email=is_email)
    outcome = await verify_password(resources, user, key, password)
    if user is None or outcome is not Outcome.RIGHT:
        reason = "unknown_login" if user is None else str(outcome)
        await record_failure(resources, user.id if user else None, reason, client)
        raise InvalidCredentials
    if await is_enabled(resources, user.id):
        return await open_challenge(resources, user, client.device_name)
    return await start_session(resources, user.id, client, credentials_version=user.credentials_version)


async def log_in_with_code(resources: Resources, challenge: str, code: str, client: Client) -> IssuedTokens:
    """The second half of a login; raises InvalidChallenge or WrongLoginCode."""
    answered = await answer_challenge(resources, challenge, code, client)
    client = replace(client, device_name=answered.device_name)
    try:
        return await start_session(
            resources, answered.user_id, client, credentials_version=answered.credentials_version
        )
    except InvalidCredentials:
        raise InvalidChallenge from None  # what the challenge stood for has changed


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

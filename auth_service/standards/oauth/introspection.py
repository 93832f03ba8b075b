"""Is the token live, and whose is it: RFC 7662. As live as GET /auth/verify and POST /auth/refresh say."""

from datetime import timedelta
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidRefreshToken, Unauthenticated
from auth_service.permissions.cache import CheckCache
from auth_service.permissions.callers import caller_of
from auth_service.sessions.refresh_token import read_refresh_token
from auth_service.sessions.repository import find_record
from auth_service.sessions.service import idle_life
from auth_service.standards.oauth.schemas import IntrospectionAnswer
from auth_service.users.repository import find_account

INACTIVE = IntrospectionAnswer(active=False)


async def introspect(resources: Resources, cache: CheckCache, token: str) -> IntrospectionAnswer:
    """Whatever is not live is only that, for whichever reason (RFC 7662 section 2.2); a store failure is 503."""
    return await _access_token(resources, cache, token) or await _refresh_token(resources, token) or INACTIVE


async def _access_token(resources: Resources, cache: CheckCache, token: str) -> IntrospectionAnswer | None:
    try:
        claims = (await caller_of(resources, cache, token)).claims
    except Unauthenticated:
        return None
    answer = IntrospectionAnswer(
        active=True,
        token_type="Bearer",  # noqa: S106
        iss=resources.settings.issuer,
        aud=resources.settings.audience,
        sub=claims.subject,
        sid=claims.session_id,
        jti=claims.token_id,
        iat=claims.issued_at,
        exp=claims.expires_at,
    )
    if claims.kind == "service":
        return answer.model_copy(update={"client_id": claims.subject, "scope": " ".join(claims.scopes)})
    return await _named(resources, answer, claims.subject)


async def _refresh_token(resources: Resources, text: str) -> IntrospectionAnswer | None:
    """Live as long as a refresh would take it: the newest of its session, and its parent in the grace (REF-4)."""
    try:
        token = read_refresh_token(resources.secrets, text)
    except InvalidRefreshToken:
        return None
    record = await find_record(resources.hot, token.session_id)
    now = resources.clock()
    if record is None or not record.live(now, idle_life(resources)):
        # Whoever hears that the session has ended may rely on it at every worker.
        await resources.denylist.publish_of(None if record is None else record.user_id)
        return None
    expires_at, issued_at = min(record.expires_at, record.last_seen_at + idle_life(resources)), None
    if token.generation >= record.generation:
        issued_at = int(record.rotated_at.timestamp())
    elif token.generation == record.generation - 1:
        grace = timedelta(seconds=resources.settings.refresh_grace_seconds)
        expires_at = min(expires_at, record.rotated_at + grace)
    else:
        return None
    if expires_at <= now:
        return None
    answer = IntrospectionAnswer(
        active=True,
        token_type="N_A",  # noqa: S106
        iss=resources.settings.issuer,
        sub=record.user_id,
        sid=token.session_id,
        iat=issued_at,
        exp=int(expires_at.timestamp()),
    )
    return await _named(resources, answer, record.user_id)


async def _named(resources: Resources, answer: IntrospectionAnswer, user_id: UUID) -> IntrospectionAnswer | None:
    account = await find_account(resources.hot, user_id)
    if account is None or not account.is_active:
        return None
    return answer.model_copy(update={"username": account.login})

"""HOT. Who calls, from memory where the token is known and the worker holds its lease."""

from auth_service.core.connections import Resources
from auth_service.core.errors import Unauthenticated, is_store_failure
from auth_service.core.principal import Principal, authenticate, verified
from auth_service.permissions.cache import CheckCache


async def caller_of(resources: Resources, cache: CheckCache, token: str) -> Principal:
    """As `authenticate`, but by what Postgres has recorded where the caller can be kept: Redis hears of a denial later,
    and would then be wrong for as long as the caller is kept.
    """
    now = cache.current()
    known = None if now is None else cache.caller(f"Bearer {token}".encode(), now)
    if known is not None:
        return known.principal
    caller = await verified(resources, token)
    places = cache.places([caller.subject])  # before Postgres is asked
    if places is None:
        return await authenticate(resources, token)
    try:
        recorded = await resources.denylist.is_recorded(caller.claims)
    except Exception as error:
        if not is_store_failure(error):
            raise
        return await authenticate(resources, token)  # Redis can tell too, and nobody is kept
    if recorded:
        await authenticate(resources, token)  # refuses it, unless Redis has not been told
        await resources.denylist.publish_of(caller.subject)
        raise Unauthenticated
    cache.keep_caller(places[caller.subject], token, caller)
    return caller

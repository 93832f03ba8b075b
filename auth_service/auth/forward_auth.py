"""Answers a proxy that asks before it hands a request on: who is calling, and may they (docs/forward-auth.md)."""

from collections.abc import Sequence

from auth_service.core.connections import Resources
from auth_service.core.errors import PermissionDenied, StepUpRequired
from auth_service.core.principal import Principal
from auth_service.permissions.cache import CheckCache
from auth_service.permissions.checks import allows, answer_checks
from auth_service.permissions.decision import Reason

REASON_HEADER = "X-Auth-Reason"


async def verify(
    resources: Resources, caller: Principal, codes: Sequence[str], cache: CheckCache | None = None
) -> dict[str, str]:
    """The headers that name the caller, who has every one of `codes`; a service has them as scopes.

    Raises PermissionDenied or StepUpRequired with the reason of the check as a header: proxies pass on no body.
    """
    if caller.is_service:
        for code in codes:
            await allows(resources, caller, code)
        return {"X-Auth-Service": str(caller.subject)}
    checks = [(code, None, None) for code in codes]
    decisions = await answer_checks(resources, caller, checks, cache) if codes else []
    for decision in decisions:
        if not decision.allowed:
            refusal = StepUpRequired if decision.reason is Reason.STEP_UP_REQUIRED else PermissionDenied
            raise refusal(headers={REASON_HEADER: decision.reason})
    return {"X-Auth-User": str(caller.subject), "X-Auth-Session": str(caller.session_id)}

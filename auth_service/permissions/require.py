"""`caller: Annotated[Principal, Require("roles:write")]` guards a route of ours with our own check."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends

from auth_service.core.connections import Res
from auth_service.core.errors import PermissionDenied, StepUpRequired, may_answer
from auth_service.core.principal import AnyPrincipal, Principal
from auth_service.permissions.checks import allows


def Require(code: str) -> Any:
    """The Principal, if it may: 401 for strangers, 403 for those without the permission or scope."""
    return Depends(_guard(code))


def _guard(code: str) -> Callable[..., Awaitable[Principal]]:
    @may_answer(PermissionDenied, StepUpRequired)
    async def guard(principal: AnyPrincipal, resources: Res) -> Principal:
        await allows(resources, principal, code)
        return principal

    return guard

"""`caller: Annotated[Principal, Require("roles:write")]` guards a route of ours with our own check."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from fastapi import Depends

from auth_service.core.connections import Res
from auth_service.core.errors import PermissionDenied, StepUpRequired, may_answer
from auth_service.core.principal import AnyPrincipal, Principal
from auth_service.permissions.service import allows


def Require(code: str) -> Any:
    """The Principal, if it may: 401 for strangers, 403 for those without the permission or scope."""
    return Depends(_guard(code))


def RequireOrSelf(code: str) -> Any:
    """As Require, but a user may always ask about the `user_id` of the path that is their own."""
    return Depends(_guard_or_self(code))


def _guard(code: str) -> Callable[..., Awaitable[Principal]]:
    @may_answer(PermissionDenied, StepUpRequired)
    async def guard(principal: AnyPrincipal, resources: Res) -> Principal:
        await allows(resources, principal, code)
        return principal

    return guard


def _guard_or_self(code: str) -> Callable[..., Awaitable[Principal]]:
    @may_answer(PermissionDenied, StepUpRequired)
    async def guard(user_id: UUID, principal: AnyPrincipal, resources: Res) -> Principal:
        if principal.is_service or principal.subject != user_id:
            await allows(resources, principal, code)
        return principal

    return guard

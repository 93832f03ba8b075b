"""Roles, and who has them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from auth_service.core.connections import Res
from auth_service.core.errors import (
    LackingYourself,
    LastSuperuser,
    NotKnownThen,
    RoleBuiltIn,
    RoleCycle,
    RoleExists,
    RoleInUse,
    ValidationFailed,
    WouldShutOut,
)
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import AnyPrincipal, Principal
from auth_service.core.versions import IfMatch, PreconditionFailed
from auth_service.permissions.explanation import Explanation
from auth_service.permissions.require import Require
from auth_service.permissions.schemas import (
    AtQuery,
    EffectivePermissions,
    GrantAnswer,
    PermissionCode,
    WhyAnswer,
)
from auth_service.permissions.what_if.effect import EffectTimeout
from auth_service.permissions.what_if.people import EffectBusy
from auth_service.permissions.what_if.schemas import DeletionWhatIf, TrialQuery, tried
from auth_service.permissions.why import explain, permissions_at
from auth_service.roles import grants as role_grants
from auth_service.roles import service
from auth_service.roles.role import GrantView, RoleSpec, RoleView
from auth_service.roles.schemas import (
    GrantBody,
    GrantWhatIf,
    RoleAnswer,
    RoleBody,
    RoleGrantAnswer,
    RolePatch,
    RoleWhatIf,
)
from auth_service.users.naming import NamedOrSelf, NamedUser

router = APIRouter(tags=["roles"])


@router.get("/roles", response_model=list[RoleAnswer])
async def list_roles(_caller: Annotated[Principal, Require("roles:read")], resources: Res) -> list[RoleView]:
    return await service.list_roles(resources)


@router.post(
    "/roles",
    response_model=RoleAnswer,
    status_code=201,
    responses={
        200: {"model": RoleWhatIf},
        **refusals(LackingYourself, RoleExists, RoleCycle, ValidationFailed, EffectBusy, EffectTimeout),
    },
)
async def create_role(
    body: RoleBody,
    caller: Annotated[Principal, Require("roles:write")],
    query: Annotated[TrialQuery, Query()],
    resources: Res,
    response: Response,
) -> RoleView | Response:
    """Only of permissions and parents that you hold yourself."""
    spec = RoleSpec(**body.model_dump(exclude={"name"}))
    trial = query.trial()
    role = await service.create_role(resources, caller, body.name, spec, trial=trial)
    response.headers["ETag"] = role.version
    return await tried(RoleWhatIf, resources, caller, trial, query, result=role) if trial else role


@router.get("/roles/{name}", response_model=RoleAnswer)
async def get_role(
    name: str, _caller: Annotated[Principal, Require("roles:read")], resources: Res, response: Response
) -> RoleView:
    """Its `ETag` is for the `If-Match` of who changes it."""
    role = await service.get_role(resources, name)
    response.headers["ETag"] = role.version
    return role


@router.patch(
    "/roles/{name}",
    response_model=RoleAnswer | RoleWhatIf,
    responses=refusals(
        LackingYourself,
        RoleBuiltIn,
        RoleCycle,
        ValidationFailed,
        WouldShutOut,
        EffectBusy,
        EffectTimeout,
        PreconditionFailed,
    ),
)
async def update_role(  # noqa: PLR0917  FastAPI fills them in
    name: str,
    body: RolePatch,
    caller: Annotated[Principal, Require("roles:write")],
    query: Annotated[TrialQuery, Query()],
    resources: Res,
    response: Response,
    if_match: IfMatch = None,
) -> RoleView | Response:
    """Each list that is sent replaces the old one."""
    trial, changes = query.trial(), body.model_dump(exclude_unset=True)
    role = await service.update_role(resources, caller, name, **changes, if_match=if_match, trial=trial)
    response.headers["ETag"] = role.version
    return await tried(RoleWhatIf, resources, caller, trial, query, result=role) if trial else role


@router.delete(
    "/roles/{name}",
    status_code=204,
    response_model=None,
    responses={
        200: {"model": DeletionWhatIf},
        **refusals(LackingYourself, RoleBuiltIn, RoleInUse, EffectBusy, EffectTimeout, PreconditionFailed),
    },
)
async def delete_role(
    name: str,
    caller: Annotated[Principal, Require("roles:write")],
    query: Annotated[TrialQuery, Query()],
    resources: Res,
    if_match: IfMatch = None,
) -> Response | None:
    """Refused with role_in_use while anyone has it."""
    trial = query.trial()
    await service.delete_role(resources, caller, name, if_match=if_match, trial=trial)
    return await tried(DeletionWhatIf, resources, caller, trial, query, result=None) if trial else None


@router.get("/users/{user_id}/permissions", response_model=EffectivePermissions, responses=refusals(NotKnownThen))
async def list_user_permissions(
    user_id: Annotated[UUID, NamedOrSelf("roles:read")], query: Annotated[AtQuery, Query()], resources: Res
) -> EffectivePermissions:
    """All that the user's active grants give, each with the granted role and the role that it comes from."""
    found = await permissions_at(resources, user_id, query.at)
    return EffectivePermissions(user_id=user_id, permissions=[GrantAnswer.model_validate(grant) for grant in found])


@router.get("/users/{user_id}/permissions/{code}", response_model=WhyAnswer, responses=refusals(NotKnownThen))
async def explain_user_permission(
    user_id: Annotated[UUID, NamedOrSelf("roles:read")],
    code: PermissionCode,
    caller: AnyPrincipal,
    query: Annotated[AtQuery, Query()],
    resources: Res,
) -> Explanation:
    """Why the user may do that or may not, all that stands in the way, and which roles would give it."""
    return await explain(resources, caller, user_id, code, at=query.at)


@router.get("/users/{user_id}/roles", response_model=list[RoleGrantAnswer])
async def list_user_roles(user_id: Annotated[UUID, NamedOrSelf("roles:read")], resources: Res) -> list[GrantView]:
    """Also those that have ended or not yet begun."""
    return await role_grants.list_grants(resources, user_id)


@router.put(
    "/users/{user_id}/roles/{name}",
    response_model=RoleGrantAnswer | GrantWhatIf,
    responses=refusals(LackingYourself, LastSuperuser, WouldShutOut, ValidationFailed, EffectBusy, EffectTimeout),
)
async def grant_role(  # noqa: PLR0917  FastAPI fills them in
    name: str,
    caller: Annotated[Principal, Require("roles:grant")],
    user_id: NamedUser,
    query: Annotated[TrialQuery, Query()],
    resources: Res,
    body: GrantBody | None = None,
) -> GrantView | Response:
    """Grants the role, or changes the dates of the grant that is there. Without a body: from now on, for ever."""
    trial, wanted = query.trial(), (body or GrantBody()).model_dump()
    granted = await role_grants.grant_role(resources, caller, user_id, name, **wanted, trial=trial)
    return await tried(GrantWhatIf, resources, caller, trial, query, result=granted) if trial else granted


@router.delete(
    "/users/{user_id}/roles/{name}",
    status_code=204,
    response_model=None,
    responses={
        200: {"model": DeletionWhatIf},
        **refusals(LackingYourself, LastSuperuser, WouldShutOut, EffectBusy, EffectTimeout),
    },
)
async def revoke_role(
    name: str,
    caller: Annotated[Principal, Require("roles:grant")],
    user_id: NamedUser,
    query: Annotated[TrialQuery, Query()],
    resources: Res,
) -> Response | None:
    trial = query.trial()
    await role_grants.revoke_role(resources, caller, user_id, name, trial=trial)
    return await tried(DeletionWhatIf, resources, caller, trial, query, result=None) if trial else None

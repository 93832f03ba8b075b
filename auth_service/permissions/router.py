"""The check, the batch check, what a user has, and the catalogue."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from auth_service.core.connections import Res
from auth_service.core.errors import (
    LackingYourself,
    PermissionBuiltIn,
    PermissionDenied,
    PermissionExists,
    PermissionInUse,
    WouldShutOut,
)
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import AnyPrincipal, Principal
from auth_service.core.versions import IfMatch, PreconditionFailed
from auth_service.models import Permission
from auth_service.permissions import catalogue
from auth_service.permissions.catalogue import PermissionSpec
from auth_service.permissions.checks import answer_checks
from auth_service.permissions.require import Require
from auth_service.permissions.schemas import (
    BatchAnswer,
    BatchBody,
    CheckAnswer,
    CheckBody,
    PermissionAnswer,
    PermissionBody,
    PermissionPatch,
    check_answer,
    explained_answer,
)
from auth_service.permissions.what_if.effect import EffectTimeout
from auth_service.permissions.what_if.people import EffectBusy
from auth_service.permissions.what_if.schemas import DeletionWhatIf, PermissionWhatIf, TrialQuery, tried
from auth_service.permissions.why import explain_check

router = APIRouter(tags=["permissions"])


@router.post(
    "/permissions/check",
    response_model=CheckAnswer,
    response_model_exclude_none=True,
    responses=refusals(PermissionDenied),
)
async def check_permission(body: CheckBody, caller: AnyPrincipal, resources: Res) -> CheckAnswer:
    """May the user do that? Without `user_id`: the caller. `valid_until`: time alone changes nothing before it."""
    if body.explain:
        explanation = await explain_check(resources, caller, body.permission, body.user_id, body.session_id)
        if explanation is not None:
            return explained_answer(explanation)
    (decision,) = await answer_checks(resources, caller, [(body.permission, body.user_id, body.session_id)])
    return check_answer(decision, explain=body.explain)


@router.post(
    "/permissions/check/batch",
    response_model=BatchAnswer,
    response_model_exclude_none=True,
    responses=refusals(PermissionDenied),
)
async def check_permissions(body: BatchBody, caller: AnyPrincipal, resources: Res) -> BatchAnswer:
    """Up to 1,000 checks, answered in their order and on one snapshot."""
    checks = [(item.permission, item.user_id, item.session_id) for item in body.checks]
    decisions = await answer_checks(resources, caller, checks)
    return BatchAnswer(results=[check_answer(decision) for decision in decisions])


@router.get("/permissions", response_model=list[PermissionAnswer])
async def list_permissions(
    _caller: Annotated[Principal, Require("permissions:read")], resources: Res
) -> Sequence[Permission]:
    """The catalogue, by code."""
    return await catalogue.list_permissions(resources)


@router.post(
    "/permissions",
    response_model=PermissionAnswer,
    status_code=201,
    responses={200: {"model": PermissionWhatIf}, **refusals(PermissionExists, EffectBusy, EffectTimeout)},
)
async def create_permission(
    body: PermissionBody,
    caller: Annotated[Principal, Require("permissions:write")],
    query: Annotated[TrialQuery, Query()],
    resources: Res,
    response: Response,
) -> Permission | Response:
    spec = PermissionSpec(**body.model_dump(exclude={"code"}))
    trial = query.trial()
    permission = await catalogue.create_permission(resources, caller, body.code, spec, trial=trial)
    response.headers["ETag"] = catalogue.version(permission)
    return await tried(PermissionWhatIf, resources, caller, trial, query, result=permission) if trial else permission


@router.get("/permissions/{code}", response_model=PermissionAnswer)
async def get_permission(
    code: str, _caller: Annotated[Principal, Require("permissions:read")], resources: Res, response: Response
) -> Permission:
    """Its `ETag` is for the `If-Match` of who changes it."""
    permission = await catalogue.get_permission(resources, code)
    response.headers["ETag"] = catalogue.version(permission)
    return permission


@router.patch(
    "/permissions/{code}",
    response_model=PermissionAnswer | PermissionWhatIf,
    responses=refusals(LackingYourself, WouldShutOut, EffectBusy, EffectTimeout, PreconditionFailed),
)
async def update_permission(  # noqa: PLR0917  FastAPI fills them in
    code: str,
    body: PermissionPatch,
    caller: Annotated[Principal, Require("permissions:write")],
    query: Annotated[TrialQuery, Query()],
    resources: Res,
    response: Response,
    if_match: IfMatch = None,
) -> Permission | Response:
    trial, changes = query.trial(), body.model_dump()
    permission = await catalogue.update_permission(resources, caller, code, **changes, if_match=if_match, trial=trial)
    response.headers["ETag"] = catalogue.version(permission)
    return await tried(PermissionWhatIf, resources, caller, trial, query, result=permission) if trial else permission


@router.delete(
    "/permissions/{code}",
    status_code=204,
    response_model=None,
    responses={
        200: {"model": DeletionWhatIf},
        **refusals(LackingYourself, PermissionBuiltIn, PermissionInUse, EffectBusy, EffectTimeout, PreconditionFailed),
    },
)
async def delete_permission(
    code: str,
    caller: Annotated[Principal, Require("permissions:write")],
    query: Annotated[TrialQuery, Query()],
    resources: Res,
    if_match: IfMatch = None,
) -> Response | None:
    """Refused with permission_in_use while a role or a service names the code."""
    trial = query.trial()
    await catalogue.delete_permission(resources, caller, code, if_match=if_match, trial=trial)
    return await tried(DeletionWhatIf, resources, caller, trial, query, result=None) if trial else None

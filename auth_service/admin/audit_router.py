"""The audit trail, for those who may read it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from auth_service.admin.trail_filter import read_trail
from auth_service.admin.trail_people import PeopleOfARow, people_of_row
from auth_service.admin.trail_people_schemas import AuditPeopleAnswer, AuditPeopleQuery
from auth_service.audit.schemas import AuditAnswer, AuditQuery
from auth_service.core.connections import Res
from auth_service.core.errors import NotFound, NotKnownThen
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require
from auth_service.permissions.what_if.effect import EffectTimeout
from auth_service.permissions.what_if.people import EffectBusy

router = APIRouter(prefix="/admin/audit", tags=["administration"])


@router.get("", response_model=AuditAnswer, responses=refusals(NotFound))
async def list_audit_entries(
    caller: Annotated[Principal, Require("audit:read")], query: Annotated[AuditQuery, Query()], resources: Res
) -> AuditAnswer:
    """What admins, services and operators did, newest first; `next_cursor` leads to the next page."""
    return await read_trail(resources, query, caller)


@router.get(
    "/{row}/people",
    response_model=AuditPeopleAnswer,
    responses=refusals(NotFound, NotKnownThen, EffectBusy, EffectTimeout),
)
async def list_audit_people(
    _caller: Annotated[Principal, Require("audit:read")],
    _reads_users: Annotated[Principal, Require("users:read")],
    _reads_roles: Annotated[Principal, Require("roles:read")],
    row: Annotated[int, Path(ge=1, le=2**63 - 1, description="The `id` of the row.")],
    query: Annotated[AuditPeopleQuery, Query()],
    resources: Res,
) -> PeopleOfARow:
    """Who could do more right after the change, and who less, by the grants of then; `next_cursor` leads on."""
    return await people_of_row(resources, row, cursor=query.cursor, limit=query.limit)

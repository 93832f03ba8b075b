"""The audit trail, for those who may read it."""

from typing import Annotated

from fastapi import APIRouter, Query

from auth_service.admin.trail_filter import read_trail
from auth_service.audit.schemas import AuditAnswer, AuditQuery
from auth_service.core.connections import Res
from auth_service.core.errors import NotFound
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require

router = APIRouter(prefix="/admin/audit", tags=["administration"])


@router.get("", response_model=AuditAnswer, responses=refusals(NotFound))
async def list_audit_entries(
    caller: Annotated[Principal, Require("audit:read")], query: Annotated[AuditQuery, Query()], resources: Res
) -> AuditAnswer:
    """What admins, services and operators did, newest first; `next_cursor` leads to the next page."""
    return await read_trail(resources, query, caller)

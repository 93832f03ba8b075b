"""The audit trail, for those who may read it."""

from typing import Annotated

from fastapi import APIRouter, Query

from auth_service.audit.schemas import AuditAnswer, AuditQuery
from auth_service.audit.service import list_entries
from auth_service.core.connections import Res
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require

router = APIRouter(prefix="/admin/audit", tags=["administration"])


@router.get("", response_model=AuditAnswer)
async def list_all(
    _caller: Annotated[Principal, Require("audit:read")], query: Annotated[AuditQuery, Query()], resources: Res
) -> AuditAnswer:
    """What admins, services and operators did, newest first; `next_cursor` leads to the next page."""
    return await list_entries(resources, query)

"""The login history: one's own, and anybody's for those who may read the audit trail."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from auth_service.core.connections import Res
from auth_service.core.principal import CurrentUser, Principal
from auth_service.permissions.require import Require
from auth_service.sessions.history import HistoryPage, read_history, read_history_of
from auth_service.sessions.history_schemas import HistoryAnswer, HistoryQuery

router = APIRouter()


@router.get("/users/me/login-history", response_model=HistoryAnswer, tags=["own account"])
async def read_own(me: CurrentUser, query: Annotated[HistoryQuery, Query()], resources: Res) -> HistoryPage:
    """Newest first, failures too; `next_cursor` leads to the next page."""
    return await read_history(resources, me.subject, query)


@router.get("/admin/users/{user_id}/login-history", response_model=HistoryAnswer, tags=["administration"])
async def read_of_user(
    user_id: UUID,
    _caller: Annotated[Principal, Require("audit:read")],
    query: Annotated[HistoryQuery, Query()],
    resources: Res,
) -> HistoryPage:
    """As one's own, of any user."""
    return await read_history_of(resources, user_id, query)

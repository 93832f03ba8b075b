"""One's own login history."""

from typing import Annotated

from fastapi import APIRouter, Query

from auth_service.core.connections import Res
from auth_service.core.principal import CurrentUser
from auth_service.sessions.history import HistoryPage, read_history
from auth_service.sessions.history_schemas import HistoryAnswer, HistoryQuery

router = APIRouter()


@router.get("/users/me/login-history", response_model=HistoryAnswer, tags=["own account"])
async def get_own_login_history(
    me: CurrentUser, query: Annotated[HistoryQuery, Query()], resources: Res
) -> HistoryPage:
    """Newest first, failures too; `next_cursor` leads to the next page."""
    return await read_history(resources, me.subject, query.wanted(), cursor=query.cursor, limit=query.limit)

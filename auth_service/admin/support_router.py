"""What an admin sees and does of somebody's sessions, logins and locks."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from auth_service.admin import support as admin
from auth_service.core.connections import Res
from auth_service.core.errors import LackingYourself
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require
from auth_service.sessions.history import HistoryPage, read_history_of
from auth_service.sessions.history_schemas import HistoryAnswer, HistoryQuery
from auth_service.sessions.schemas import SessionsAnswer, session_answer
from auth_service.users.naming import NamedUser

router = APIRouter(prefix="/admin/users/{user_id}", tags=["administration"])


@router.get("/sessions", response_model=SessionsAnswer)
async def list_user_sessions(
    caller: Annotated[Principal, Require("audit:read")], user_id: NamedUser, resources: Res
) -> SessionsAnswer:
    rows = await admin.list_sessions(resources, user_id)
    return SessionsAnswer(items=[session_answer(row, current=caller.session_id) for row in rows])


@router.get("/login-history", response_model=HistoryAnswer)
async def get_user_login_history(
    _caller: Annotated[Principal, Require("audit:read")],
    user_id: NamedUser,
    query: Annotated[HistoryQuery, Query()],
    resources: Res,
) -> HistoryPage:
    """As one's own, of any user."""
    return await read_history_of(resources, user_id, query.wanted(), cursor=query.cursor, limit=query.limit)


@router.delete("/sessions/{session_id}", status_code=204, responses=refusals(LackingYourself))
async def end_user_session(
    caller: Annotated[Principal, Require("users:write")], user_id: NamedUser, session_id: UUID, resources: Res
) -> None:
    await admin.end_session(resources, caller, user_id, session_id)


@router.post("/logout-all", status_code=204, responses=refusals(LackingYourself))
async def log_out_user(
    caller: Annotated[Principal, Require("users:write")], user_id: NamedUser, resources: Res
) -> None:
    """Ends all sessions; no device of the user is known or trusted any more."""
    await admin.log_out_all(resources, caller, user_id)


@router.post("/unlock", status_code=204, responses=refusals(LackingYourself))
async def unlock_user(caller: Annotated[Principal, Require("users:write")], user_id: NamedUser, resources: Res) -> None:
    """Gives the whole budget of failed logins and codes back, for strangers and for the user's devices."""
    await admin.unlock(resources, caller, user_id)

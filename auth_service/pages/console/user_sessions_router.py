"""Where somebody is signed in, and their sign-ins, those that failed too."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from starlette.responses import Response

from auth_service.admin import support
from auth_service.core.connections import Res
from auth_service.pages import notices
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import screen
from auth_service.pages.form import Form
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.sign_in_words import entry_of
from auth_service.sessions.history import read_history_of
from auth_service.sessions.history_schemas import CURSOR
from auth_service.sessions.repository import HistoryFilter
from auth_service.sessions.schemas import session_answer
from auth_service.users.service import get_account

router = page_router()
_PAGE = 20
Auditor = Annotated[Admin, Staff("users:read", "audit:read")]


@router.get("/console/users/{user_id}/sessions")
async def sessions_page(user_id: UUID, request: Request, me: Auditor, resources: Res) -> Response:
    return await _sessions(user_id, request, me, resources, Form())


@router.post("/console/users/{user_id}/sessions/do/end/{session_id}")
async def end_session(
    user_id: UUID,
    session_id: UUID,
    request: Request,
    me: Annotated[Admin, Staff("users:read", "audit:read", "users:write")],
    resources: Res,
) -> Response:
    form = Form()
    with form:
        await support.end_session(resources, me.principal, user_id, session_id)
        return go(request, f"/console/users/{user_id}/sessions", notices.USER_SESSION_ENDED)
    return await _sessions(user_id, request, me, resources, form)


@router.get("/console/users/{user_id}/history")
async def history_page(
    user_id: UUID,
    request: Request,
    me: Auditor,
    resources: Res,
    cursor: Annotated[str | None, Query(pattern=CURSOR)] = None,
) -> Response:
    account = await get_account(resources, user_id)
    page = await read_history_of(resources, user_id, HistoryFilter(), cursor=cursor, limit=_PAGE)
    return screen(
        request,
        "console/history.html",
        me,
        account=account,
        entries=[entry_of(row) for row in page.items],
        next_cursor=page.next_cursor,
        is_first=cursor is None,
    )


async def _sessions(user_id: UUID, request: Request, me: Admin, resources: Res, form: Form) -> Response:
    account = await get_account(resources, user_id)
    rows = await support.list_sessions(resources, user_id)
    sessions = [session_answer(row, current=me.session_id) for row in rows]
    return screen(request, "console/sessions.html", me, form, account=account, sessions=sessions)

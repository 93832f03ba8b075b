"""One's sign-ins, those that failed too."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.pages.account.screen import screen
from auth_service.pages.route import page_router
from auth_service.pages.sign_in_words import entry_of
from auth_service.pages.viewer import Me
from auth_service.sessions.history import read_history
from auth_service.sessions.history_schemas import CURSOR
from auth_service.sessions.repository import HistoryFilter

router = page_router()
_PAGE = 20


@router.get("/account/history")
async def history_page(
    request: Request, me: Me, resources: Res, cursor: Annotated[str | None, Query(pattern=CURSOR)] = None
) -> Response:
    page = await read_history(resources, me.id, HistoryFilter(), cursor=cursor, limit=_PAGE)
    entries = [entry_of(row) for row in page.items]
    return screen(
        request, "account/history.html", me, entries=entries, next_cursor=page.next_cursor, is_first=cursor is None
    )

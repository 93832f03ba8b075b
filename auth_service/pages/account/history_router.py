"""One's sign-ins, those that failed too."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.models import LoginHistory
from auth_service.pages.account.screen import screen
from auth_service.pages.catalogue import N_
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me
from auth_service.pages.words import Words
from auth_service.sessions.history import read_history
from auth_service.sessions.history_schemas import CURSOR
from auth_service.sessions.repository import HistoryFilter
from auth_service.sessions.user_agent import in_words

router = page_router()
_PAGE = 20
_REASONS = {
    "wrong_password": Words(N_("Wrong password")),
    "locked": Words(N_("Refused after many wrong passwords")),
    "inactive": Words(N_("The account was disabled")),
    "wrong_code": Words(N_("Wrong code")),
}
_FAILED = Words(N_("Refused"))
_SUCCEEDED = Words(N_("Signed in"))


@dataclass(frozen=True, slots=True)
class Entry:
    row: LoginHistory
    outcome: Words
    browser: str | None
    system: str | None


@router.get("/account/history")
async def history_page(
    request: Request, me: Me, resources: Res, cursor: Annotated[str | None, Query(pattern=CURSOR)] = None
) -> Response:
    page = await read_history(resources, me.id, HistoryFilter(), cursor=cursor, limit=_PAGE)
    entries = [_entry(row) for row in page.items]
    return screen(
        request, "account/history.html", me, entries=entries, next_cursor=page.next_cursor, is_first=cursor is None
    )


def _entry(row: LoginHistory) -> Entry:
    words = in_words(row.user_agent)
    outcome = _SUCCEEDED if row.succeeded else _REASONS.get(row.reason or "", _FAILED)
    return Entry(row, outcome, words.browser, words.system)

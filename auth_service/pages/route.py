"""Pages answer in HTML whatever happens, and the tokens that were renewed on the way reach the browser."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from auth_service.auth import transport
from auth_service.core.errors import AppError, NotFound, StepUpRequired, Unauthenticated, Unavailable
from auth_service.core.http.csrf import CsrfRefused
from auth_service.core.http.error_answers import answer_to
from auth_service.core.http.page_paths import ACCOUNT, CONSOLE, is_below
from auth_service.pages import notices
from auth_service.pages.form import posted
from auth_service.pages.kept import Kept, keep
from auth_service.pages.own_paths import form_page, own_path
from auth_service.pages.page import WITH_FORMS, go, show
from auth_service.pages.words import refusal_words

log = structlog.get_logger(__name__)
DAY = 86_400


class FormOutOfDate(Exception):
    """It belongs to another session, or to none any more: the page is shown anew, and nothing is done."""


class PageRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handler(request)
            except Exception as error:  # noqa: BLE001  raised again where it is a mistake of ours
                response = await _answer_to(request, error)
            if (visitor := getattr(request.state, "visitor", None)) is not None:
                keep(request, response, Kept.VISITOR, visitor, DAY)
            issued = getattr(request.state, "issued", None)
            if issued is not None:
                transport.deliver(response, request.app.state.resources, issued, as_cookies=True)
            return response

        return answer


def page_router() -> APIRouter:
    return APIRouter(include_in_schema=False, route_class=PageRoute)


async def _answer_to(request: Request, error: Exception) -> Response:
    here = form_page(request)
    if isinstance(error, Unauthenticated):
        return (
            go(request, "/account/sign-in")
            if here == ACCOUNT
            else go(request, f"/account/sign-in?next={quote(here)}", notices.SIGN_IN_AGAIN)
        )
    if isinstance(error, StepUpRequired):
        # In the console it is a permission that asks, and only a code of the second factor will do.
        start = CONSOLE if is_below(here, CONSOLE) else ACCOUNT
        return go(request, f"{start}/confirm?next={quote(here)}")
    if isinstance(error, FormOutOfDate):
        target = own_path((await posted(request)).fields.get("next"))
        return go(request, here if target == ACCOUNT else f"{here}?next={quote(target)}", notices.OUT_OF_DATE)
    if isinstance(error, RequestValidationError):
        error = NotFound()  # an id that is none
    told = await answer_to(request.scope, error)
    if told is None:
        raise error
    refusal = error if isinstance(error, AppError) else Unavailable()
    return error_page(request, refusal)


def error_page(request: Request, refusal: AppError) -> Response:
    facts: dict[str, Any] = {"words": refusal_words(refusal), "request_id": request.state.request_id}
    facts["console"] = request.scope["path"].startswith(f"{CONSOLE}/") and getattr(request.state, "administers", False)
    page = show(request, "error.html", status=refusal.status, policy=WITH_FORMS, **facts)
    for name, value in refusal.headers.items():
        page.headers[name] = value
    if isinstance(refusal, CsrfRefused):
        log.warning("page_form_refused", path=request.scope["path"])
    return page

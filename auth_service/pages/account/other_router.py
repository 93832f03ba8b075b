"""The switch of the language, and what is said where no page is."""

from fastapi import Request
from starlette.responses import Response

from auth_service.core.errors import NotFound
from auth_service.pages.catalogue import LANGUAGES
from auth_service.pages.kept import YEAR, Kept, keep
from auth_service.pages.own_paths import page_path
from auth_service.pages.page import go
from auth_service.pages.route import page_router

router = page_router()


@router.get("/account/language")
async def choose_language(request: Request, to: str, next: str | None = None) -> Response:
    """By a link, which changes nothing but what this browser is shown."""
    response = go(request, page_path(next))
    if to in LANGUAGES:
        keep(request, response, Kept.LANGUAGE, to, YEAR)
    return response


@router.get("/account/{path:path}")
async def nothing_here(path: str) -> Response:
    raise NotFound

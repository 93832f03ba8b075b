"""Where the console begins, and what is said to those for whom nothing of it is."""

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from auth_service.core.errors import NotFound
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.nav import sections_for
from auth_service.pages.console.screen import screen
from auth_service.pages.page import go
from auth_service.pages.route import page_router

router = page_router()
rest_router = page_router()


@router.get("/console")
async def begin(request: Request, me: Annotated[Admin, Staff()]) -> Response:
    sections = sections_for(me.held)
    if not sections:
        return screen(request, "console/nothing.html", me, status=403)
    return go(request, sections[0].path)


@rest_router.get("/console/{path:path}")
async def nothing_here(path: str, _me: Annotated[Admin, Staff()]) -> Response:
    raise NotFound

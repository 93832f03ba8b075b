"""What a browser asks for by itself, and what somebody meets who opens the bare address."""

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from auth_service.core.connections import Res
from auth_service.core.errors import NotFound
from auth_service.pages.page import FILES_KEPT, give_file, show, wants_page

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(request: Request, resources: Res) -> Response:
    """A few words for a person; to an API client there is nothing at this path."""
    if not wants_page(request):
        raise NotFound("There is nothing at this path.", headers={"Vary": "Accept"})
    page = show(request, "home.html", title="home_title", settings=resources.settings)
    page.headers["Vary"] = "Accept, Accept-Language"
    return page


@router.get("/robots.txt")
async def robots() -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n", headers={"Cache-Control": FILES_KEPT})


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """For pages that name none, which is JSON opened in a browser."""
    return await give_file(request, "auth_service", "pages/static", "icon.svg")


@router.get("/pages/{name}")
async def file(name: str, request: Request) -> Response:
    return await give_file(request, "auth_service", "pages/static", name)

"""What a browser asks for by itself, and what somebody meets who opens the bare address."""

from asyncio import to_thread

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from auth_service.core.connections import Res
from auth_service.core.errors import NotFound
from auth_service.pages import brand
from auth_service.pages.page import FILES_KEPT, give_file, show, wants_page

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(request: Request, resources: Res) -> Response:
    """The account for a person, or a few words where the cinema has its own; to an API client there is nothing here."""
    if not wants_page(request):
        raise NotFound("There is nothing at this path.", headers={"Vary": "Accept"})
    if resources.settings.account_url:
        page: Response = show(request, "home.html")
        page.headers["Vary"] = "Accept, Accept-Language"
        return page
    return RedirectResponse("account", 303, headers={"Vary": "Accept"})


@router.get("/robots.txt")
async def robots() -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n", headers={"Cache-Control": FILES_KEPT})


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """For pages that name none, which is JSON opened in a browser."""
    return await give_file(request, "auth_service", "pages/static", "icon.svg")


@router.get("/pages/brand.css")
async def brand_stylesheet(resources: Res) -> Response:
    content = brand.stylesheet(resources.settings.brand_color)
    return Response(content, media_type="text/css", headers={"Cache-Control": FILES_KEPT})


@router.get("/pages/logo")
async def brand_logo(resources: Res) -> Response:
    """An SVG may hold scripts: as a picture it runs none, and opened by itself it may not either."""
    found = await to_thread(brand.logo, resources.settings)
    if found is None:
        raise NotFound("There is nothing at this path.")
    headers = {
        "Cache-Control": FILES_KEPT,
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    return Response(found[0], media_type=found[1], headers=headers)


@router.get("/pages/{name}")
async def file(name: str, request: Request) -> Response:
    return await give_file(request, "auth_service", "pages/static", name)

"""The interactive documentation, without the internet: Swagger UI and ReDoc as fastapi-standalone-docs packs them.

Only its files are used. FastAPI's own pages load theirs from another host and need scripts inside the page.
"""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from auth_service.core.errors import NotFound
from auth_service.pages.page import STRICT, give_file, show

router = APIRouter(prefix="/auth", include_in_schema=False)

_SWAGGER, _REDOC = ("fastapi_standalone_docs", "static/swagger"), ("fastapi_standalone_docs", "static/redoc")
_OURS = ("auth_service", "pages/docs")
FILES = {
    "docs": {
        "swagger-ui-bundle.js": _SWAGGER,
        "swagger-ui.css": _SWAGGER,
        "swagger.js": _OURS,
        "swagger.css": _OURS,
    },
    "redoc": {
        "redoc.standalone.js": _REDOC,
        "redoc.standalone.js.LICENSE.txt": _REDOC,
        "logo-mini.svg": _REDOC,
        "redoc.js": _OURS,
        "redoc.css": _OURS,
    },
}


# ReDoc makes two style elements: an empty one, which it fills through the DOM, and one that it brings along. By their
# hashes, so that no other style inside the page is taken; a new release may bring another one, which a test notices.
_OF_REDOC = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)
REDOC_POLICY = {**STRICT, "style-src": f"{STRICT['style-src']} {_OF_REDOC}", "worker-src": "blob:"}  # its search


@router.get("/docs")
async def swagger_ui(request: Request) -> HTMLResponse:
    return show(request, "swagger.html")


@router.get("/redoc")
async def redoc(request: Request) -> HTMLResponse:
    return show(request, "redoc.html", policy=REDOC_POLICY)


@router.get("/docs/")
@router.get("/redoc/")
async def without_the_slash(request: Request) -> RedirectResponse:
    """Typed by hand; the files of the page are found from where it is without."""
    return RedirectResponse(f"../{request.url.path.split('/')[-2]}", 308)


@router.get("/{page}/{name}")
async def file(page: str, name: str, request: Request) -> Response:
    found = FILES.get(page, {}).get(name)
    if found is None:
        raise NotFound("There is nothing at this path.")
    return await give_file(request, *found, name)

"""A page and the files it loads: nothing inline, nothing from another host, and no page of anybody else around it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import Request
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from auth_service.core.accept import by_preference
from auth_service.core.passwords.hashing import MAX_LENGTH, MIN_LENGTH
from auth_service.pages.texts import LANGUAGES, TEXTS
from auth_service.users.mailed_tokens import LIVES, Purpose

if TYPE_CHECKING:
    from jinja2 import Environment

Policy = Mapping[str, str]
STRICT: Policy = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
FILES_KEPT = "public, max-age=3600"  # then a browser asks with the ETag
_SPAN = Markup('<span class="text" lang="{}">{}</span>')
_SLOT = Markup('<b data-slot="{}"></b>')  # what the page's script fills in
_SLOTS = {name: _SLOT.format(name) for name in ("email", "seconds", "request_id")}


def show(
    request: Request, template: str, *, title: str | None = None, policy: Policy = STRICT, **facts: Any
) -> HTMLResponse:
    """`title`: one of TEXTS; then the page is in the reader's language, else it is for developers and in English.

    `policy`: what the page may load, and from where.
    """
    name = request.app.state.resources.settings.issuer_name
    language = _language(request) if title else "en"
    known = {
        "name": name,
        "title": title,
        "language": language,
        "languages": LANGUAGES,
        "texts": TEXTS,
        "say": _in_all_languages(name),
        "min_length": MIN_LENGTH,
        "max_length": MAX_LENGTH,
    }
    html = _templates().get_template(template).render(known | facts)
    headers = {
        "Content-Security-Policy": "; ".join(f"{directive} {value}" for directive, value in policy.items()),
        "Content-Language": language,
    }
    return HTMLResponse(html, headers=headers | ({"Vary": "Accept-Language"} if title else {}))


async def give_file(request: Request, package: str, folder: str, name: str) -> Response:
    """With its type and an ETag, or 304; raises what becomes a 404 for a name that is not there."""
    answer = await _files(package, folder).get_response(name, request.scope)
    answer.headers["Cache-Control"] = FILES_KEPT
    return answer


def wants_page(request: Request) -> bool:
    """Whether a person is asking: a browser that opens an address names HTML, API clients do not."""
    accepted = by_preference(", ".join(request.headers.getlist("accept")))
    return any(item.partition(";")[0].lower() == "text/html" for item in accepted)


def _language(request: Request) -> str:
    """The first of ours that Accept-Language names, else English."""
    wanted = by_preference(", ".join(request.headers.getlist("accept-language")))
    named = (item.lower().partition("-")[0] for item in wanted)
    return next((item for item in named if item in LANGUAGES), "en")


def _in_all_languages(name: str) -> Callable[[str], Markup]:
    """A text stands in the page in every language, and CSS shows one: a switch loads nothing, which would lose the
    token of the link.
    """
    minutes = LIVES[Purpose.RESET_PASSWORD] // timedelta(minutes=1)
    facts = {"name": name, "min": MIN_LENGTH, "max": MAX_LENGTH, "minutes": minutes, **_SLOTS}

    def say(key: str) -> Markup:
        return Markup().join(_SPAN.format(code, escape(text).format(**facts)) for code, text in TEXTS[key].items())

    return say


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # two MiB of a worker's memory, for who opens a page

    return Environment(
        loader=PackageLoader("auth_service.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _files(package: str, folder: str) -> StaticFiles:
    return StaticFiles(packages=[(package, folder)])

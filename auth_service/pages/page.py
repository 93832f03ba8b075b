"""A page and the files it loads: nothing inline, nothing from another host, and no page of anybody else around it."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from auth_service.core.accept import by_preference
from auth_service.core.http.cookies import read_cookie
from auth_service.core.passwords.hashing import MAX_LENGTH, MIN_LENGTH
from auth_service.pages import brand
from auth_service.pages.catalogue import LANGUAGES, SOURCE, catalogue
from auth_service.pages.form import Form
from auth_service.pages.kept import ZONE_COOKIE, Kept, keep, read, waiting_notice
from auth_service.pages.local_words import LocalWords, zone_of
from auth_service.pages.own_paths import opened_address
from auth_service.pages.words import SUMMARY, Words

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
WITH_FORMS: Policy = {**STRICT, "connect-src": "'none'", "form-action": "'self'"}
FILES_KEPT = "public, max-age=3600"  # then a browser asks with the ETag
_NOTICE_SECONDS = 60


def show(
    request: Request,
    template: str,
    *,
    form: Form | None = None,
    status: int = 200,
    policy: Policy = STRICT,
    **facts: Any,
) -> HTMLResponse:
    """In the reader's language, with what is wrong with `form`. `policy`: what the page may load, and from where."""
    settings = request.app.state.resources.settings
    language = language_of(request)
    local = LocalWords(language, zone_of(read_cookie(request, ZONE_COOKIE)), request.app.state.resources.clock())
    notice = waiting_notice(request)
    form = form or Form()

    def say(words: Words) -> Markup:
        told = {key: local.span(fact) if isinstance(fact, timedelta) else fact for key, fact in words.facts.items()}
        return Markup(catalogue(language).gettext(words.text)) % told  # noqa: S704  a text of ours; facts are escaped

    known = {
        "name": settings.issuer_name,
        "root": settings.path_prefix,
        "settings": settings,
        "brand_version": brand.version(settings),
        "file": _versioned,
        "language": language,
        "languages": LANGUAGES,
        "path": request.scope["path"],
        "here": opened_address(request),
        "local": local,
        "say": say,
        "notice": notice,
        "form": form,
        "summary": SUMMARY,
        "viewer": None,
        "csrf": "",
        "min_length": MIN_LENGTH,
        "max_length": MAX_LENGTH,
    }
    html = _templates(language).get_template(template).render(known | facts)
    headers = {
        "Content-Security-Policy": "; ".join(f"{directive} {value}" for directive, value in policy.items()),
        "Content-Language": language,
        "Vary": "Accept-Language",
        # With none at all, as the edge has it, browsers would send forms with `Origin: null`.
        "Referrer-Policy": "same-origin",
    }
    page = HTMLResponse(html, status if not form.is_wrong else form.status, headers=headers | form.headers)
    if notice is not None:
        keep(request, page, Kept.NOTICE, "", 0)
    return page


def go(request: Request, path: str, notice: str | None = None) -> RedirectResponse:
    """To a path of ours, so that loading it again repeats nothing. `notice`: one of NOTICES, shown there."""
    response = RedirectResponse(request.app.state.resources.settings.path_prefix + path, 303)
    if notice is not None:
        keep(request, response, Kept.NOTICE, notice, _NOTICE_SECONDS)
    return response


async def give_file(request: Request, package: str, folder: str, name: str) -> Response:
    """With its type and an ETag, or 304; raises what becomes a 404 for a name that is not there."""
    answer = await _files(package, folder).get_response(name, request.scope)
    answer.headers["Cache-Control"] = FILES_KEPT
    return answer


def wants_page(request: Request) -> bool:
    """Whether a person is asking: a browser that opens an address names HTML, API clients do not."""
    accepted = by_preference(", ".join(request.headers.getlist("accept")))
    return any(item.partition(";")[0].lower() == "text/html" for item in accepted)


def language_of(request: Request) -> str:
    """What was chosen on a page, else the first of ours that Accept-Language names, else English."""
    chosen = read(request, Kept.LANGUAGE)
    if chosen in LANGUAGES:
        return chosen
    wanted = by_preference(", ".join(request.headers.getlist("accept-language")))
    named = (item.lower().partition("-")[0] for item in wanted)
    return next((item for item in named if item in LANGUAGES), SOURCE)


@cache
def _templates(language: str) -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # two MiB of a worker's memory, for who opens a page

    from auth_service.pages.texts import install_texts

    environment = Environment(
        loader=PackageLoader("auth_service.pages"),
        auto_reload=False,  # it would ask the disk for each part of each page
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["zip"] = zip
    install_texts(environment, language)
    return environment


@cache
def _versioned(name: str) -> str:
    """With a part that changes with the file, so that no browser keeps an old one."""
    content = (files("auth_service.pages") / "static" / name).read_bytes()
    return f"{name}?{hashlib.sha256(content).hexdigest()[:8]}"


@cache
def _files(package: str, folder: str) -> StaticFiles:
    return StaticFiles(packages=[(package, folder)])

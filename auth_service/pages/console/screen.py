"""A page of the console, and how its lists and forms are asked."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import HTMLResponse

from auth_service.core.http.cookies import read_cookie
from auth_service.pages.console.guard import Admin
from auth_service.pages.console.nav import sections_for
from auth_service.pages.form import Form
from auth_service.pages.kept import ZONE_COOKIE
from auth_service.pages.local_words import zone_of
from auth_service.pages.page import WITH_FORMS, show


def screen(
    request: Request, template: str, me: Admin, form: Form | None = None, *, status: int = 200, **facts: Any
) -> HTMLResponse:
    """Templates also know `may("users:write")`, and `page_link(cursor=…)`, which keeps the filters."""
    known = {
        "viewer": me.viewer,
        "csrf": me.csrf,
        "sections": sections_for(me.held),
        "may": me.may,
        "page_link": lambda **changes: _link(request.query_params, changes),
    }
    return show(request, template, form=form, status=status, policy=WITH_FORMS, **known | facts)


def asked(request: Request) -> Form:
    """The filters of a list, out of the address; a field that was left empty is left out."""
    return Form({name: text for name, text in request.query_params.items() if text})


def moments(request: Request, form: Form, *names: str) -> dict[str, str]:
    """For `form.read(Body, **moments(…))`: what a field for date and time sends is in the reader's zone."""
    zone, found = zone_of(read_cookie(request, ZONE_COOKIE)), {}
    for name in names:
        try:
            given = datetime.fromisoformat(form.fields.get(name, ""))
        except ValueError:
            continue  # left empty, or refused by the body
        found[name] = (given if given.tzinfo else given.replace(tzinfo=zone)).isoformat()
    return found


def as_typed(request: Request, moment: datetime | None) -> str:
    """What `moments` reads, to a second."""
    if moment is None:
        return ""
    zone = zone_of(read_cookie(request, ZONE_COOKIE))
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")


def _link(present: Mapping[str, str], changes: Mapping[str, str | None]) -> str:
    """The query of the same list elsewhere; a change of None takes a filter away."""
    wanted: dict[str, str | None] = {**present, "cursor": None, **changes}
    return "?" + urlencode({name: text for name, text in wanted.items() if text})

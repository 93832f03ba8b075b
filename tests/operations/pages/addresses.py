"""Where the walk goes: every page that the routes of the app have, with what stands in their place for parameters."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute

from tests.pages.console.test_who_sees_what import KINDS, PAGES

READERS = ("admin", "manager", "moderator", "viewer", "stranger")
_KIND_OF = {"admin": "superuser", "manager": "content-manager", "moderator": "moderator", "viewer": "viewer"}
# No page themselves: loaded by pages or programs, or leading back to the page where one was.
NO_PAGES = {
    "/account/language",
    "/robots.txt",
    "/favicon.ico",
    "/pages/brand.css",
    "/pages/logo",
    "/pages/{name}",
    "/auth/{page}/{name}",
}
# Where the parameters alone do not show all that a page can be; `{…}` as in `World.ids`.
FURTHER: Mapping[str, tuple[str, ...]] = {
    "/account/confirmed": ("?waiting=true",),
    "/account/history": ("?cursor=nonsense",),
    "/account/sign-in": ("?next=/console/roles",),
    "/console/users": ("?search=nobody&active=false", "?role=nobody&mfa=true", "?search=reader&cursor=nonsense"),
    "/console/users/{user_id}": (
        "?permission=films:watch",
        "?permission=none:none",
        "?permission=films:publish&at=2020-01-01T00:00",
    ),
    "/console/users/{user_id}/grant": ("?role=subscriber",),
    "/console/audit": (
        "?actor=nobody",
        "?action=role.*&since=2026-01-01T00:00",
        "?since=2026-02-01T00:00&until=2026-01-01T00:00",
    ),
    "/console/roles": ("?search=view", "?search=nothing"),
    "/console/permissions": ("?search=films", "?search=nothing"),
    "/console/permissions/{code}/people": ("?at=2020-01-01T00:00",),
    "/console/grants": ("?state=ended", "?role=night-critic&state=active", "?user=nobody"),
    "/console/grants/new": ("?user={user_id}&role=content-manager",),
    "/console/grants/jobs/{job_id}": ("?outcome=no_such_user",),
    "/console/services": ("?search=nothing",),
    "/console/sign-ins": ("?days=1", "?days=30"),
}
# The same page of something else.
OTHERS: Mapping[str, tuple[str, ...]] = {
    "/console/users/{user_id}": ("/console/users/{careful}",),
    "/console/permissions/{code}": ("/console/permissions/{used_code}",),
    "/console/permissions/{code}/people": ("/console/permissions/{used_code}/people",),
    "/console/roles/{name}": ("/console/roles/viewer", "/console/roles/superuser"),
    "/console/roles/{name}/edit": ("/console/roles/superuser/edit",),
    "/console/roles/{name}/delete": ("/console/roles/viewer/delete", "/console/roles/day-critic/delete"),
    "/console/webhooks/{webhook_id}": ("/console/webhooks/{failing}",),
}


@dataclass(frozen=True)
class Address:
    """`statuses`: by reader, those that a page may have. `own_look`: our layout, unlike Swagger UI and ReDoc."""

    path: str
    statuses: Mapping[str, frozenset[int]]

    @property
    def own_look(self) -> bool:
        return not self.path.startswith(("/auth/", "/dev/"))


def all_addresses(app: FastAPI, ids: Mapping[str, str]) -> list[Address]:
    """Raises LookupError for a route whose parameters have no value in `ids`."""
    return [Address(path, _statuses(path)) for path in dict.fromkeys(_paths(app, ids))]


def _paths(app: FastAPI, ids: Mapping[str, str]) -> Iterator[str]:
    for route in app.routes:
        if not isinstance(route, APIRoute) or "GET" not in route.methods or route.path in NO_PAGES:
            continue
        if not route.endpoint.__module__.startswith("auth_service.pages."):
            continue
        shown = re.sub(r":path}", "}", route.path)
        missing = set(re.findall(r"{(\w+)}", shown)) - ids.keys()
        if missing:
            raise LookupError(f"{shown}: no address, for want of {', '.join(sorted(missing))}")
        for path in (shown, *(shown + query for query in FURTHER.get(shown, ())), *OTHERS.get(shown, ())):
            yield path.format(**ids)


def _statuses(path: str) -> Mapping[str, frozenset[int]]:
    return {reader: frozenset(_status_of(path, reader)) for reader in READERS}


def _status_of(path: str, reader: str) -> tuple[int, ...]:
    page, _, query = path.partition("?")
    in_console = page.startswith("/console")
    if in_console and reader == "stranger":
        return (200,)  # the sign-in, which leads back
    if "nothing/at/all" in page:
        return (404,)
    if page.startswith("/account/sessions/devices/") and reader not in {"admin", "stranger"}:
        return (404,)  # somebody else's
    if re.search(r"nonsense|until=|=nobody|outcome=|at=", query) and reader != "stranger":
        return (200, 403, 404, 409, 422)  # a page that says what is wrong
    if not in_console:
        return (200, 403) if "next=/console" in query else (200,)
    return _in_the_console(path, page, reader)


def _in_the_console(path: str, page: str, reader: str) -> tuple[int, ...]:
    """What tests/pages/console/test_who_sees_what.py has; else its rule: an admin sees all, a moderator users alone."""
    for asked in (re.sub(r"permission=[^&]*", "permission=films:watch", path.partition("&")[0]), page):
        for known, statuses in PAGES.items():
            if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/?]+", re.escape(known)), asked):
                return (statuses[KINDS.index(_KIND_OF[reader])],)
    return {"admin": (200,), "moderator": (200, 403)}.get(reader, (403,))

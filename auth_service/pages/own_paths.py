"""Where a sign-in leads back to: our own pages and nowhere else. Pure but for the request."""

import re

from fastapi import Request

from auth_service.core.http.page_paths import ACCOUNT, CONSOLE, MAILED_LINKS, is_below

_ACCOUNT_PATH = rf"{ACCOUNT}(?:/[A-Za-z0-9_-]+)*"
_CONSOLE_PATH = rf"{CONSOLE}(?:/[A-Za-z0-9_*][A-Za-z0-9_.:*-]*)*"  # ids, and names of roles and permissions
_QUERY = r"(?:\?(?:[A-Za-z0-9_.=&+:*~-]|%[0-9A-Fa-f]{2})*)?"
_OWN = re.compile(rf"(?:{_ACCOUNT_PATH}|{_CONSOLE_PATH}){_QUERY}")
ACT = "/do/"  # in the console: what a button on a page does is below the page
_SECTION = re.compile(rf"{ACCOUNT}(?:/[a-z-]+)?")


def own_path(text: str | None) -> str:
    """The path, if it is one of ours; whatever else was sent leads to the account."""
    return text if text and _OWN.fullmatch(text) else ACCOUNT


def page_path(text: str | None) -> str:
    """As `own_path`, for a page that may also be one of those that mails lead to."""
    return text if text and text in MAILED_LINKS else own_path(text)


def form_page(request: Request) -> str:
    """The page whose address was opened, or from which the form was sent."""
    path: str = request.scope["path"]
    if request.method == "POST" and is_below(path, CONSOLE):
        return own_path(path.partition(ACT)[0])
    if request.method == "POST":
        found = _SECTION.match(path)
        section = found[0] if found else path
        return ACCOUNT if section == f"{ACCOUNT}/sign-out" else section
    return own_path(_with_query(request))


def opened_address(request: Request) -> str:
    """The path, with the query where one of our own pages was opened with one."""
    whole = _with_query(request)
    return whole if request.method != "POST" and own_path(whole) == whole else request.scope["path"]


def _with_query(request: Request) -> str:
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path

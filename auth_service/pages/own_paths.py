"""Where a sign-in leads back to: our own pages and nowhere else. Pure but for the request."""

import re

from fastapi import Request

from auth_service.core.http.page_paths import ACCOUNT, MAILED_LINKS

_OWN = re.compile(rf"{ACCOUNT}(?:/[A-Za-z0-9_-]+)*(?:\?[A-Za-z0-9_.=&-]*)?")
_SECTION = re.compile(rf"{ACCOUNT}(?:/[a-z-]+)?")


def own_path(text: str | None) -> str:
    """The path, if it is one of ours; whatever else was sent leads to the account."""
    return text if text and _OWN.fullmatch(text) else ACCOUNT


def page_path(text: str | None) -> str:
    """As `own_path`, for a page that may also be one of those that mails lead to."""
    return text if text and text in MAILED_LINKS else own_path(text)


def form_page(request: Request) -> str:
    """The page whose address was opened, or from which the form was sent."""
    path = request.scope["path"]
    if request.method == "POST":
        found = _SECTION.match(path)
        section = found[0] if found else path
        return ACCOUNT if section == f"{ACCOUNT}/sign-out" else section
    query = request.scope["query_string"].decode("latin-1")
    return own_path(f"{path}?{query}" if query else path)

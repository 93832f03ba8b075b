"""Pages of a search (section 8.2): behind the last result of the page before, and for the same question alone."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from auth_service.core.http.authzen_rules import InvalidAuthZenRequest

USUAL_LIMIT, MOST_RESULTS = 100, 1000
_LONGEST = 400  # of what we give; a parser may lose its way in more


@dataclass(frozen=True, slots=True)
class Page:
    """`after`: the key of the last result of the page before; none: the first page."""

    limit: int
    after: str | None
    question: str


def read_page(question: Any, *, token: str | None, limit: int | None) -> Page:
    """`question`: all that was asked, as JSON. Raises InvalidAuthZenRequest for a token of another question or limit.

    A limit beyond MOST_RESULTS is that many. Whoever leaves the limit out goes on with the one of the page before.
    """
    asked = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
    wanted = None if limit is None else min(limit, MOST_RESULTS)
    if not token:
        return Page(USUAL_LIMIT if wanted is None else wanted, None, asked)
    if len(token) > _LONGEST:
        raise not_ours()
    try:
        given, after, question_then = json.loads(base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, TypeError):
        raise not_ours() from None
    if not (type(given) is int and 0 <= given <= MOST_RESULTS and isinstance(after, str | None)):
        raise not_ours()
    if question_then != asked or wanted not in {None, given}:
        raise InvalidAuthZenRequest(
            "belongs to another question or limit; they stay the same.", field="body.page.token"
        )
    return Page(given, after, asked)


def next_token(page: Page, last: str | None) -> str:
    token = json.dumps([page.limit, last, page.question], separators=(",", ":"))
    return base64.urlsafe_b64encode(token.encode()).decode()


def not_ours() -> InvalidAuthZenRequest:
    return InvalidAuthZenRequest("is not one that this service gave", field="body.page.token")

"""A whole list as CSV (RFC 4180), a batch at a time, so that neither it nor a connection to Postgres is held."""

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from fastapi.responses import StreamingResponse

from auth_service.admin.lists_schemas import MAY_LIST
from auth_service.core.connections import Resources
from auth_service.core.errors import StepUpRequired, Unauthenticated
from auth_service.core.http.api_docs import Responses
from auth_service.core.principal import Principal
from auth_service.permissions.checks import allows
from auth_service.users.naming import PERSONAL_DATA

BATCH = 500  # a few milliseconds of a worker that has others to answer
# A spreadsheet would take the cell for a formula, or would after leaving the first character out.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# In place of what is missing: a line without an end, and a quotation mark that no reader finds the end of.
CUT = '"This list is not whole, since something failed. Ask for it again.'

A_CSV_FILE: Responses = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}

Item = TypeVar("Item")
Place = TypeVar("Place")
Page = Callable[[Place | None, int], Awaitable[tuple[Sequence[Item], Place | None]]]
Lines = AsyncIterator[tuple[str, int]]  # a text of whole lines, and how many items of the list are in it


async def csv_lines(
    columns: Sequence[str], page: Page[Place, Item], rows_of: Callable[[Item], Iterable[Sequence[Any]]]
) -> Lines:
    """With the line of headings. `page`: what is behind a place, and the place to go on from, None at the end."""
    yield _written([columns]), 0
    place: Place | None = None
    while True:
        items, place = await page(place, BATCH)
        yield _written(row for item in items for row in rows_of(item)), len(items)
        if place is None:
            return


def _written(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def list_codes(*, personal: bool) -> Sequence[str]:
    """What a list of people asks for; `personal`: with e-mail addresses and names."""
    return (*MAY_LIST, PERSONAL_DATA) if personal else MAY_LIST


async def csv_answer(
    resources: Resources, caller: Principal, lines: Lines, *, name: str, codes: Collection[str]
) -> StreamingResponse:
    """Raises what goes wrong with the first batch; what goes wrong later ends the connection before the last chunk.

    Whoever lost the session or one of `codes`, what the list asks for, gets no further batch.
    """
    beginning = "".join([(await anext(lines))[0], (await anext(lines))[0]])

    async def pieces() -> AsyncIterator[bytes]:
        yield beginning.encode()
        try:
            async for text, _ in lines:
                await _must_still(resources, caller, codes)
                yield text.encode()
        except Exception:
            yield CUT.encode()  # a proxy that speaks HTTP/1.0 has no chunks, and hides that the last one is missing
            raise

    return StreamingResponse(
        pieces(), media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


async def _must_still(resources: Resources, caller: Principal, codes: Collection[str]) -> None:
    """But for the second factor: that it was shown when the list began is enough."""
    if await resources.denylist.refuses(caller.claims):
        raise Unauthenticated
    for code in codes:
        with suppress(StepUpRequired):
            await allows(resources, caller, code)

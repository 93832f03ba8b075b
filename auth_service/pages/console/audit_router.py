"""What admins, services and operators did, row by row, and who gained and lost by it."""

from typing import Annotated, Any

from fastapi import Path, Request
from starlette.responses import Response

from auth_service.admin.trail_filter import read_row, read_trail
from auth_service.admin.trail_people import people_of_row
from auth_service.admin.trail_people_schemas import AuditPeopleQuery
from auth_service.audit.schemas import AuditQuery
from auth_service.core.connections import Res
from auth_service.pages.console.audit_words import ACTIONS, GROUPS, KINDS, lines
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import asked, moments, screen
from auth_service.pages.form import Form
from auth_service.pages.route import page_router

router = page_router()
Auditor = Annotated[Admin, Staff("audit:read")]
FOR_PEOPLE = ("users:read", "roles:read")
_WORDS: dict[str, Any] = {"actions": ACTIONS, "groups": GROUPS, "kinds": KINDS, "lines": lines}


@router.get("/console/audit")
async def audit_page(request: Request, me: Auditor, resources: Res) -> Response:
    form, found = asked(request), None
    with form:
        actions = [form.fields["action"]] if "action" in form.fields else []
        wanted = form.read(AuditQuery, action=actions, **moments(request, form, "since", "until"))
        found = await read_trail(resources, wanted, me.principal)
    return screen(request, "console/audit.html", me, form, found=found, **_WORDS)


@router.get("/console/audit/{row}")
async def row_page(
    row: Annotated[int, Path(ge=1, le=2**63 - 1)], request: Request, me: Auditor, resources: Res
) -> Response:
    return screen(request, "console/audit_row.html", me, entry=await read_row(resources, row, me.principal), **_WORDS)


@router.get("/console/audit/{row}/people")
async def people_page(
    row: Annotated[int, Path(ge=1, le=2**63 - 1)],
    request: Request,
    me: Annotated[Admin, Staff("audit:read", *FOR_PEOPLE)],
    resources: Res,
) -> Response:
    """A page of its own: of a role that everybody has it takes some seconds."""
    entry, found = await read_row(resources, row, me.principal), None
    form = Form({"cursor": text} if (text := request.query_params.get("cursor")) else {})
    with form:
        wanted = form.read(AuditPeopleQuery)
        found = await people_of_row(resources, row, cursor=wanted.cursor, limit=wanted.limit)
    return screen(request, "console/audit_people.html", me, form, entry=entry, found=found, **_WORDS)

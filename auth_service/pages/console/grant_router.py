"""A role for somebody, other dates for one that is there, or one less."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.admin.accounts import read_account
from auth_service.core.connections import Res
from auth_service.pages import notices
from auth_service.pages.console.choices import roles_to_grant
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import as_typed, asked, moments, screen
from auth_service.pages.form import posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.roles import grants
from auth_service.roles.schemas import GrantBody, RoleName

router = page_router()
Granter = Annotated[Admin, Staff("users:read", "roles:grant")]


class NewGrant(GrantBody):
    """With the role, which the API has in the path."""

    role: RoleName


@router.get("/console/users/{user_id}/grant")
async def grant_page(user_id: UUID, request: Request, me: Granter, resources: Res) -> Response:
    """With the dates of the grant that is there: who changes the end would else change the beginning too."""
    form, facts = asked(request), await _facts(resources, me, user_id)
    for present in facts["account"].roles:
        if present.role == form.fields.get("role"):
            form.fields |= {"valid_from": as_typed(request, present.valid_from), "reason": present.reason or ""}
            form.fields["valid_until"] = as_typed(request, present.valid_until)
    return screen(request, "console/grant.html", me, form, **facts)


@router.post("/console/users/{user_id}/grant")
async def grant(user_id: UUID, request: Request, me: Granter, resources: Res) -> Response:
    form = await posted(request)
    with form:
        wanted = form.read(NewGrant, **moments(request, form, "valid_from", "valid_until"))
        dates = wanted.model_dump(exclude={"role"})
        await grants.grant_role(resources, me.principal, user_id, wanted.role, **dates)
        return go(request, f"/console/users/{user_id}", notices.GRANTED)
    return screen(request, "console/grant.html", me, form, **await _facts(resources, me, user_id))


@router.get("/console/users/{user_id}/roles/{role}")
async def revoke_page(user_id: UUID, role: str, request: Request, me: Granter, resources: Res) -> Response:
    account = await read_account(resources, me.principal, user_id)
    return screen(request, "console/revoke.html", me, account=account, role=role)


@router.post("/console/users/{user_id}/roles/{role}")
async def revoke(user_id: UUID, role: str, request: Request, me: Granter, resources: Res) -> Response:
    form = await posted(request)
    with form:
        await grants.revoke_role(resources, me.principal, user_id, role)
        return go(request, f"/console/users/{user_id}", notices.REVOKED)
    account = await read_account(resources, me.principal, user_id)
    return screen(request, "console/revoke.html", me, form, account=account, role=role)


async def _facts(resources: Res, me: Admin, user_id: UUID) -> dict[str, Any]:
    account = await read_account(resources, me.principal, user_id)
    return {"account": account, "roles": await roles_to_grant(resources, me)}

"""A role for somebody, other dates for one that is there, or one less; what it would do is shown first."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.admin.accounts import read_account
from auth_service.core.connections import Res
from auth_service.pages import notices
from auth_service.pages.console.choices import roles_to_grant
from auth_service.pages.console.grant_dates import fill_in
from auth_service.pages.console.grant_preview import granting, revoking
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.named import all_there
from auth_service.pages.console.screen import asked, moments, screen
from auth_service.pages.console.trying import Step
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.permissions.what_if.trial import SEES_GRANTS, Trial
from auth_service.roles import grants
from auth_service.roles.schemas import GrantBody, RoleName

router = page_router()
Granter = Annotated[Admin, Staff("users:read", "roles:grant")]


class NewGrant(GrantBody):
    """With the role, which the API has in the path."""

    role: RoleName


@router.get("/console/users/{user_id}/grant")
async def grant_page(user_id: UUID, request: Request, me: Granter, resources: Res) -> Response:
    form, known = asked(request), await _known(resources, me, user_id)
    fill_in(request, form, known["account"].roles)
    return screen(request, "console/grant.html", me, form, **known)


@router.post("/console/users/{user_id}/grant")
async def grant(user_id: UUID, request: Request, me: Granter, resources: Res) -> Response:
    form = await posted(request)
    step = Step(form)
    if step.is_back:
        return screen(request, "console/grant.html", me, Form(form.fields), **await _known(resources, me, user_id))
    with form:
        wanted = form.read(NewGrant, **moments(request, form, "valid_from", "valid_until"))
        if not await all_there(resources, me, form, roles=("role",)):
            return screen(request, "console/grant.html", me, form, **await _known(resources, me, user_id))
        dates, trial = wanted.model_dump(exclude={"role"}), _trial(me, step)
        await grants.grant_role(resources, me.principal, user_id, wanted.role, **dates, trial=trial)
        if trial is None:
            return go(request, f"/console/users/{user_id}", notices.GRANTED)
        address = f"/console/users/{user_id}/grant"
        return await granting(request, me, resources, form, trial, role=wanted.role, address=address)
    return screen(request, "console/grant.html", me, form, **await _known(resources, me, user_id))


@router.get("/console/users/{user_id}/roles/{role}")
async def revoke_page(user_id: UUID, role: str, request: Request, me: Granter, resources: Res) -> Response:
    account = await read_account(resources, me.principal, user_id)
    return screen(request, "console/revoke.html", me, account=account, role=role)


@router.post("/console/users/{user_id}/roles/{role}")
async def revoke(user_id: UUID, role: str, request: Request, me: Granter, resources: Res) -> Response:
    form = await posted(request)
    trial, own = _trial(me, Step(form)), f"/console/users/{user_id}"
    with form:
        await grants.revoke_role(resources, me.principal, user_id, role, trial=trial)
        if trial is None:
            return go(request, own, notices.REVOKED)
        address = f"{own}/roles/{role}"
        return await revoking(request, me, resources, form, trial, role=role, address=address, back=own)
    account = await read_account(resources, me.principal, user_id)
    return screen(request, "console/revoke.html", me, form, account=account, role=role)


def _trial(me: Admin, step: Step) -> Trial | None:
    """Who may not see what others hold grants without a look at it."""
    return step.trial() if me.may(SEES_GRANTS) else None


async def _known(resources: Res, me: Admin, user_id: UUID) -> dict[str, Any]:
    account = await read_account(resources, me.principal, user_id)
    return {"account": account, "roles": await roles_to_grant(resources, me)}

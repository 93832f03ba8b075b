"""Grants: who was given which role, by whom, until when; one given, changed and taken away."""

from contextlib import suppress
from typing import Annotated
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.admin import grants
from auth_service.admin.grants_schemas import GrantsQuery, Name
from auth_service.admin.lists_schemas import MAY_LIST
from auth_service.core.connections import Res, Resources
from auth_service.core.errors import NotFound, existing
from auth_service.core.ids import read_id
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.choices import grantable, roles_to_grant
from auth_service.pages.console.grant_dates import fill_in
from auth_service.pages.console.grant_preview import granting, revoking
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.named import all_there
from auth_service.pages.console.screen import asked, moments, screen
from auth_service.pages.console.trying import Step, ask, refused
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import Words
from auth_service.permissions.repository import logins_of
from auth_service.roles import grants as role_grants
from auth_service.roles.schemas import GrantBody, RoleName
from auth_service.roles.service import list_roles
from auth_service.users.naming import find_named_id

router = page_router()
PAGE = "/console/grants"
Granter = Annotated[Admin, Staff("roles:grant")]
_TIMES = ("ends_since", "ends_until")


class NewGrant(GrantBody):
    """With whom and what, which the API has in the path."""

    user: Name
    role: RoleName


@router.get(PAGE)
async def grants_page(
    request: Request,
    me: Annotated[Admin, Staff(*MAY_LIST)],
    resources: Res,
) -> Response:
    """`format=csv`: all of them, as the API gives it."""
    form, page = asked(request), None
    with form:
        query = form.read(GrantsQuery, **moments(request, form, *_TIMES))
        if await all_there(resources, me, form, roles=("role",), users=("user", "granted_by")):
            wanted = await grants.ask_for_grants(resources, query, me.principal)
            if query.format == "csv":
                return await grants.csv_file(resources, me.principal, wanted)
            page = await grants.list_grants(wanted, query)
    roles = await list_roles(resources)
    return screen(
        request,
        "console/grants.html",
        me,
        form,
        page=page,
        roles=roles,
        grantable={role.name for role in grantable(me, roles)},
    )


@router.get(f"{PAGE}/new")
async def new_page(request: Request, me: Granter, resources: Res) -> Response:
    """`user` and `role` in the address are filled in, with the dates of the grant that is there."""
    form = asked(request)
    user_id = read_id(form.value("user"))
    if user_id is not None and me.may("roles:read"):
        with suppress(NotFound):
            fill_in(request, form, await role_grants.list_grants(resources, user_id))
    return await _editor(request, me, resources, form)


@router.post(f"{PAGE}/new")
async def grant(request: Request, me: Granter, resources: Res) -> Response:
    form = await posted(request)
    step = Step(form)
    if step.is_back:
        return await _editor(request, me, resources, Form(form.fields))
    with form:
        body = form.read(NewGrant, **moments(request, form, "valid_from", "valid_until"))
        if not await all_there(resources, me, form, roles=("role",), users=("user",)):
            return await _editor(request, me, resources, form)
        user_id = existing(await find_named_id(resources, body.user), "user")
        dates, trial = body.model_dump(exclude={"role", "user"}), step.trial()
        granted = await role_grants.grant_role(resources, me.principal, user_id, body.role, **dates, trial=trial)
        if trial is None:
            return go(request, f"{PAGE}?user={user_id}", notices.ROLE_GRANTED)
        return await granting(request, me, resources, form, trial, role=granted.role, address=f"{PAGE}/new")
    return await _editor(request, me, resources, form)


@router.get(f"{PAGE}/{{user_id}}/{{role}}/revoke")
async def revoke_page(user_id: UUID, role: str, request: Request, me: Granter, resources: Res) -> Response:
    login = (await logins_of(resources.hot, {user_id})).get(user_id) if me.may("users:read") else None
    heading = Words(N_("Take the role %(role)s away from %(login)s"), {"role": role, "login": login or user_id})
    return ask(request, me, heading, address=f"{PAGE}/{user_id}/{role}/revoke", back=f"{PAGE}?user={user_id}")


@router.post(f"{PAGE}/{{user_id}}/{{role}}/revoke")
async def revoke(user_id: UUID, role: str, request: Request, me: Granter, resources: Res) -> Response:
    form, back = await posted(request), f"{PAGE}?user={user_id}"
    trial = Step(form).trial()
    with form:
        await role_grants.revoke_role(resources, me.principal, user_id, role, trial=trial)
        if trial is None:
            return go(request, back, notices.ROLE_REVOKED)
        address = f"{PAGE}/{user_id}/{role}/revoke"
        return await revoking(request, me, resources, form, trial, role=role, address=address, back=back)
    return refused(request, me, form, Words(N_("Not taken away")), back=back)


async def _editor(request: Request, me: Admin, resources: Resources, form: Form) -> Response:
    return screen(request, "console/grant_new.html", me, form, roles=await roles_to_grant(resources, me))

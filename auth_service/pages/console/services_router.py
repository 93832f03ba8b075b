"""Service accounts and their secrets, each shown once: in the answer to the form and nowhere else."""

from typing import Annotated
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import existing
from auth_service.models import ServiceAccount
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.permission_choices import choices, shown, ticked, ticks
from auth_service.pages.console.roles_router import known_permissions
from auth_service.pages.console.screen import asked, moments, screen
from auth_service.pages.console.trying import refused
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import Words
from auth_service.service_accounts import service
from auth_service.service_accounts.schemas import SecretBody, ServiceBody

router = page_router()
PAGE = "/console/services"
Reader = Annotated[Admin, Staff("services:read")]
Writer = Annotated[Admin, Staff("services:write")]
_ON_A_PAGE = 50


@router.get(PAGE)
async def services_page(request: Request, me: Reader, resources: Res) -> Response:
    """By name, behind that of `cursor`; found by a part of it."""
    form = asked(request)
    wanted = form.value("search").lower()
    behind = [
        one
        for one in sorted(await service.list_services(resources), key=lambda one: one.name)
        if wanted in one.name and one.name > form.value("cursor")
    ]
    page = behind[:_ON_A_PAGE]
    return screen(
        request,
        "console/services.html",
        me,
        form,
        services=page,
        next_cursor=page[-1].name if len(behind) > _ON_A_PAGE else None,
    )


@router.get(f"{PAGE}/new")
async def new_page(request: Request, me: Writer, resources: Res) -> Response:
    return await _editor(request, me, resources, Form(ticks("scope", ["permissions:check"])))


@router.post(f"{PAGE}/new")
async def create(request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    with form:
        body = form.read(ServiceBody, scopes=ticked(form.fields, "scope"))
        account, secret = await service.create_service(
            resources, me.principal, body.name, body.description, body.scopes
        )
        return _secret(request, me, account, secret)
    return await _editor(request, me, resources, form)


@router.get(f"{PAGE}/{{service_id}}")
async def service_page(service_id: UUID, request: Request, me: Reader, resources: Res) -> Response:
    return await _page(request, me, resources, await _find(resources, service_id))


@router.post(f"{PAGE}/{{service_id}}")
async def add_secret(service_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    account = await _find(resources, service_id)
    with form:
        body = form.read(SecretBody, **moments(request, form, "expires_at"))
        secret = await service.add_secret(resources, me.principal, service_id, body.expires_at)
        return _secret(request, me, account, secret)
    return await _page(request, me, resources, account, form)


@router.get(f"{PAGE}/{{service_id}}/delete")
async def delete_page(service_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    return screen(request, "console/service_delete.html", me, service=await _find(resources, service_id))


@router.post(f"{PAGE}/{{service_id}}/delete")
async def delete(service_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    form, back = Form(), f"{PAGE}/{service_id}"
    with form:
        await service.delete_service(resources, me.principal, service_id)
        return go(request, PAGE, notices.SERVICE_DELETED)
    return refused(request, me, form, Words(N_("Not deleted")), back=back)


def _secret(request: Request, me: Admin, account: ServiceAccount, secret: str) -> Response:
    return screen(request, "console/service_secret.html", me, service=account, secret=secret)


async def _find(resources: Resources, service_id: UUID) -> ServiceAccount:
    found = [one for one in await service.list_services(resources) if one.id == service_id]
    return existing(next(iter(found), None), "service account")


async def _page(
    request: Request, me: Admin, resources: Resources, account: ServiceAccount, form: Form | None = None
) -> Response:
    groups = shown(await known_permissions(resources), account.scopes)
    return screen(request, "console/service.html", me, form, service=account, groups=groups)


async def _editor(request: Request, me: Admin, resources: Resources, form: Form) -> Response:
    groups = choices(await known_permissions(resources), ticked(form.fields, "scope"), me.may)
    return screen(request, "console/service_new.html", me, form, groups=groups)

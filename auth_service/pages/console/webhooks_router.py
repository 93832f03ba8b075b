"""Webhooks: where events are sent, what became of the last ones, and the secret, shown once."""

from typing import Annotated
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.events.kinds import KINDS
from auth_service.models import WebhookEndpoint
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.permission_choices import ticked, ticks
from auth_service.pages.console.screen import screen
from auth_service.pages.console.trying import refused
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import Words
from auth_service.webhooks import service
from auth_service.webhooks.schemas import WebhookBody, WebhookPatch

router = page_router()
PAGE = "/console/webhooks"
Reader = Annotated[Admin, Staff("webhooks:read")]
Writer = Annotated[Admin, Staff("webhooks:write")]
_DELIVERIES = 100  # more are not kept
WHY_OFF = {
    "by_admin": N_("turned off by an administrator"),
    "failed": N_("turned off after three days of failures"),
    "gone": N_("turned off, since the receiver said that it wants no more"),
}


@router.get(PAGE)
async def webhooks_page(request: Request, me: Reader, resources: Res) -> Response:
    """All of them: there are at most 50."""
    webhooks = await service.list_endpoints(resources)
    return screen(request, "console/webhooks.html", me, webhooks=webhooks, why_off=WHY_OFF)


@router.get(f"{PAGE}/new")
async def new_page(request: Request, me: Writer) -> Response:
    return _editor(request, me, Form(), None)


@router.post(f"{PAGE}/new")
async def create(request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    with form:
        body = form.read(WebhookBody, kinds=ticked(form.fields, "kind"))
        webhook, secret = await service.create_endpoint(resources, me.principal, **body.model_dump())
        return _secret(request, me, webhook, secret)
    return _editor(request, me, form, None)


@router.get(f"{PAGE}/{{webhook_id}}")
async def webhook_page(webhook_id: UUID, request: Request, me: Reader, resources: Res) -> Response:
    return screen(
        request,
        "console/webhook.html",
        me,
        webhook=await service.get_endpoint(resources, webhook_id),
        deliveries=await service.list_deliveries(resources, webhook_id, _DELIVERIES),
        why_off=WHY_OFF,
    )


@router.get(f"{PAGE}/{{webhook_id}}/edit")
async def edit_page(webhook_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    webhook = await service.get_endpoint(resources, webhook_id)
    texts = {"url": webhook.url, "description": webhook.description}
    on = {"enabled": "on"} if webhook.enabled else {}
    return _editor(request, me, Form(texts | on | ticks("kind", webhook.kinds)), webhook)


@router.post(f"{PAGE}/{{webhook_id}}/edit")
async def edit(webhook_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    webhook = await service.get_endpoint(resources, webhook_id)
    with form:
        body = form.read(
            WebhookPatch,
            description=form.fields.get("description", ""),
            kinds=ticked(form.fields, "kind"),
            enabled="enabled" in form.fields,
        )
        await service.update_endpoint(resources, me.principal, webhook_id, **body.model_dump())
        return go(request, f"{PAGE}/{webhook_id}", notices.WEBHOOK_CHANGED)
    return _editor(request, me, form, webhook)


@router.post(f"{PAGE}/{{webhook_id}}/do/test")
async def ping(webhook_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    form = Form()
    with form:
        answer = await service.ping(resources, me.principal, webhook_id)
        notice = notices.WEBHOOK_ANSWERED if answer.delivered else notices.WEBHOOK_SILENT
        return go(request, f"{PAGE}/{webhook_id}", notice)
    return _refused(request, me, form, webhook_id)


@router.post(f"{PAGE}/{{webhook_id}}/do/rotate")
async def rotate(webhook_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    form = Form()
    with form:
        webhook, secret = await service.rotate_secret(resources, me.principal, webhook_id)
        return _secret(request, me, webhook, secret)
    return _refused(request, me, form, webhook_id)


@router.get(f"{PAGE}/{{webhook_id}}/delete")
async def delete_page(webhook_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    webhook = await service.get_endpoint(resources, webhook_id)
    return screen(request, "console/webhook_delete.html", me, webhook=webhook)


@router.post(f"{PAGE}/{{webhook_id}}/delete")
async def delete(webhook_id: UUID, request: Request, me: Writer, resources: Res) -> Response:
    form = Form()
    with form:
        await service.delete_endpoint(resources, me.principal, webhook_id)
        return go(request, PAGE, notices.WEBHOOK_DELETED)
    return _refused(request, me, form, webhook_id)


def _secret(request: Request, me: Admin, webhook: WebhookEndpoint, secret: str) -> Response:
    return screen(request, "console/webhook_secret.html", me, webhook=webhook, secret=secret)


def _refused(request: Request, me: Admin, form: Form, webhook_id: UUID) -> Response:
    heading, back = Words(N_("Nothing was done")), f"{PAGE}/{webhook_id}"
    return refused(request, me, form, heading, back=back)


def _editor(request: Request, me: Admin, form: Form, webhook: WebhookEndpoint | None) -> Response:
    """`webhook`: None for a new one."""
    chosen = set(ticked(form.fields, "kind"))
    return screen(request, "console/webhook_edit.html", me, form, webhook=webhook, kinds=list(KINDS), chosen=chosen)

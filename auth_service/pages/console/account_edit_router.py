"""Somebody's login, name and address, changed for them; what that means is shown first."""

from typing import Annotated
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.admin.accounts import change_account, read_account
from auth_service.admin.accounts_schemas import AccountDetail, AccountPatch
from auth_service.core.connections import Res
from auth_service.mail.addresses import shown
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import screen
from auth_service.pages.console.trying import Difference, Step, carried
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import NOTHING_CHANGED

router = page_router()
PAGE = "/console/users/{user_id}/edit"
Changer = Annotated[Admin, Staff("users:read", "users:write")]
_FIELDS = {"login": N_("Login"), "full_name": N_("Name"), "email": N_("E-mail")}


@router.get(PAGE)
async def edit_page(user_id: UUID, request: Request, me: Changer, resources: Res) -> Response:
    if user_id == me.id:
        return go(request, "/account")  # where the password is asked for
    account = await read_account(resources, me.principal, user_id)
    return _editor(request, me, Form(_texts(account)), account)


@router.post(PAGE)
async def edit(user_id: UUID, request: Request, me: Changer, resources: Res) -> Response:
    form = await posted(request)
    account, step = await read_account(resources, me.principal, user_id), Step(form)
    if step.is_back:
        return _editor(request, me, Form(form.fields), account)
    with form:
        body = _wanted(form, account)
        changes = body.model_dump(exclude_unset=True, exclude={"reason"})
        if not changes:
            form.refusal, form.status = NOTHING_CHANGED, 422
            return _editor(request, me, form, account)
        moved = form.fields.get("seen") != _version(account)
        if step.is_meant and not moved:
            await change_account(resources, me.principal, user_id, changes, body.reason)
            return go(request, f"/console/users/{user_id}", notices.USER_CHANGED)
        return screen(
            request,
            "console/account_change.html",
            me,
            account=account,
            differences=_differences(account, body),
            changes=changes,
            moved=moved,
            fields=carried(form, seen=_version(account)),
        )
    return _editor(request, me, form, account)


def _editor(request: Request, me: Admin, form: Form, account: AccountDetail) -> Response:
    seen = form.fields.get("seen") or _version(account)
    return screen(request, "console/account_edit.html", me, form, account=account, seen=seen)


def _texts(account: AccountDetail) -> dict[str, str]:
    return {name: getattr(account, name) or "" for name in _FIELDS}


def _wanted(form: Form, account: AccountDetail) -> AccountPatch:
    """Of the fields only those that differ: the rest is not asked to be what it was when the page was opened."""
    typed = {name: form.fields.get(name, "").strip() for name in _FIELDS}
    changes = {name: typed[name] for name, text in _texts(account).items() if typed[name] != text}
    if not changes:
        return AccountPatch.model_construct(set())
    reason = {"reason": text} if (text := form.fields.get("reason", "").strip()) else {}
    name = {"full_name": changes["full_name"] or None} if "full_name" in changes else {}
    return AccountPatch.model_validate(changes | name | reason)


def _differences(account: AccountDetail, body: AccountPatch) -> list[Difference]:
    before, after = _texts(account), body.model_copy(update={"email": shown(body.email or "")})
    return [
        Difference(what, before=before[name], after=getattr(after, name) or "")
        for name, what in _FIELDS.items()
        if name in body.model_fields_set
    ]


def _version(account: AccountDetail) -> str:
    return account.updated_at.isoformat()

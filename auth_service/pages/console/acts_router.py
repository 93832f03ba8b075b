"""The page of each act on an account: what it means, a reason where one is asked for, and the button."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from auth_service.admin.accounts import read_account
from auth_service.core.connections import Res
from auth_service.pages.catalogue import N_
from auth_service.pages.console.acts import ACTS, Act
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import screen
from auth_service.pages.form import posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import Words
from auth_service.users.identifiers import lookup_key

router = page_router()
_OTHER_LOGIN = Words(N_("This is not the login of the account."))


def _add(router: APIRouter, act: Act) -> None:
    path = f"/console/users/{{user_id}}/{act.name}"
    # Already for the page: a step-up comes before anything is typed.
    Doer = Annotated[Admin, Staff("users:read", act.code)]

    @router.get(path)
    async def act_page(user_id: UUID, request: Request, me: Doer, resources: Res) -> Response:
        account = await read_account(resources, me.principal, user_id)
        return screen(request, "console/act.html", me, act=act, account=account)

    @router.post(path)
    async def perform(user_id: UUID, request: Request, me: Doer, resources: Res) -> Response:
        form = await posted(request)
        account = await read_account(resources, me.principal, user_id)
        if act.typed and lookup_key(form.fields.get("login", "")) != lookup_key(account.login):
            form.errors["login"], form.status = _OTHER_LOGIN, 422
        else:
            with form:
                await act.do(resources, me.principal, user_id, form)
                gone = act.code == "users:delete"
                return go(request, "/console/users" if gone else f"/console/users/{user_id}", act.notice)
        return screen(request, "console/act.html", me, form, act=act, account=account)


for _act in ACTS:
    _add(router, _act)

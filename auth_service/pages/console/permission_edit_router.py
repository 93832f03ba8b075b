"""A permission added, changed and deleted; what its mark for step-up would do is shown first."""

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.models import Permission
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.permissions_router import PAGE
from auth_service.pages.console.screen import screen
from auth_service.pages.console.trying import Difference, Step, ask, preview, refused
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import Words
from auth_service.permissions import catalogue
from auth_service.permissions.catalogue import PermissionSpec
from auth_service.permissions.schemas import PermissionBody, PermissionPatch

router = page_router()
Writer = Annotated[Admin, Staff("permissions:write")]
NEW = f"{PAGE}/_new"  # no code is without a colon
_ADD, _CHANGE, _DELETE = N_("Add the permission"), N_("Make this change"), N_("Delete the permission")
_YES, _NO = N_("yes"), N_("no")


@router.get(NEW)
async def new_page(request: Request, me: Writer) -> Response:
    return _editor(request, me, Form(), None)


@router.post(NEW)
async def create(request: Request, me: Writer, resources: Res) -> Response:
    """Whoever has its resource's wildcard gains it."""
    form = await posted(request)
    step = Step(form)
    if step.is_back:
        return _editor(request, me, Form(form.fields), None)
    with form:
        body = form.read(PermissionBody, step_up="step_up" in form.fields)
        spec, trial = PermissionSpec(**body.model_dump(exclude={"code"})), step.trial()
        await catalogue.create_permission(resources, me.principal, body.code, spec, trial=trial)
        if trial is None:
            return go(request, f"{PAGE}/{body.code}", notices.PERMISSION_CREATED)
        return await preview(
            request,
            me,
            resources,
            form,
            trial,
            heading=Words(N_("What adding %(code)s would do"), {"code": body.code}),
            address=NEW,
            button=_ADD,
        )
    return _editor(request, me, form, None)


@router.get(f"{PAGE}/{{code}}/edit")
async def edit_page(code: str, request: Request, me: Writer, resources: Res) -> Response:
    permission = await catalogue.get_permission(resources, code)
    texts = {"title": permission.title, "description": permission.description}
    return _editor(request, me, Form(texts | ({"step_up": "on"} if permission.step_up else {})), permission)


@router.post(f"{PAGE}/{{code}}/edit")
async def edit(code: str, request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    permission, step = await catalogue.get_permission(resources, code), Step(form)
    if step.is_back:
        return _editor(request, me, Form(form.fields), permission)
    with form:
        body = form.read(
            PermissionPatch, description=form.fields.get("description", ""), step_up="step_up" in form.fields
        )
        before = (permission.title, permission.description, permission.step_up)
        version = catalogue.version(permission)
        moved = form.fields.get("seen") != version
        trial, changes = step.trial(moved=moved), body.model_dump()
        seen = version if trial is None else None
        changed = await catalogue.update_permission(
            resources, me.principal, code, **changes, if_match=seen, trial=trial
        )
        if trial is None:
            return go(request, f"{PAGE}/{code}", notices.PERMISSION_CHANGED)
        return await preview(
            request,
            me,
            resources,
            form,
            trial,
            heading=Words(N_("What changing %(code)s would do"), {"code": code}),
            address=f"{PAGE}/{code}/edit",
            button=_CHANGE,
            moved=moved,
            differences=_differences(before, changed),
            kept={"seen": version},
        )
    return _editor(request, me, form, permission)


@router.get(f"{PAGE}/{{code}}/delete")
async def delete_page(code: str, request: Request, me: Writer, resources: Res) -> Response:
    await catalogue.get_permission(resources, code)
    heading = Words(N_("Delete the permission %(code)s"), {"code": code})
    return ask(request, me, heading, address=f"{PAGE}/{code}/delete", back=f"{PAGE}/{code}")


@router.post(f"{PAGE}/{{code}}/delete")
async def delete(code: str, request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    await catalogue.get_permission(resources, code)
    trial = Step(form).trial()
    with form:
        await catalogue.delete_permission(resources, me.principal, code, trial=trial)
        if trial is None:
            return go(request, PAGE, notices.PERMISSION_DELETED)
        return await preview(
            request,
            me,
            resources,
            form,
            trial,
            heading=Words(N_("What deleting %(code)s would do"), {"code": code}),
            address=f"{PAGE}/{code}/delete",
            button=_DELETE,
            back=f"{PAGE}/{code}",
            danger=True,
        )
    return refused(request, me, form, Words(N_("Not deleted")), back=f"{PAGE}/{code}")


def _editor(request: Request, me: Admin, form: Form, permission: Permission | None) -> Response:
    """`permission`: None for a new one."""
    seen = form.fields.get("seen") or (catalogue.version(permission) if permission else "")
    return screen(request, "console/permission_edit.html", me, form, permission=permission, seen=seen)


def _differences(before: tuple[str, str, bool], after: Permission) -> list[Difference]:
    title, description, step_up = before
    found = [
        Difference(N_("Title"), before=title, after=after.title),
        Difference(N_("Description"), before=description, after=after.description),
        Difference(N_("Asks for a code"), before=_said(step_up), after=_said(after.step_up), ours=True),
    ]
    return [one for one in found if one.before != one.after]


def _said(marked: bool) -> str:
    return _YES if marked else _NO

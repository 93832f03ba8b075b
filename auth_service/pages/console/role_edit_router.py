"""A role made, changed and deleted; each time what that would do to people is shown first."""

from typing import Annotated, Any

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import LackingYourself, RoleBuiltIn
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.choices import roles_to_grant
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.permission_choices import choices, ticked, ticks
from auth_service.pages.console.roles_router import PAGE, known_permissions
from auth_service.pages.console.screen import screen
from auth_service.pages.console.trying import Difference, Step, ask, preview, refused
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import NOTHING_CHANGED, Words
from auth_service.roles import service
from auth_service.roles.role import RoleSpec, RoleView
from auth_service.roles.schemas import RoleBody, RolePatch

router = page_router()
Writer = Annotated[Admin, Staff("roles:write")]
NEW = f"{PAGE}/_new"  # no role has such a name
_MAKE, _CHANGE, _DELETE = N_("Create the role"), N_("Make this change"), N_("Delete the role")


@router.get(NEW)
async def new_page(request: Request, me: Writer, resources: Res) -> Response:
    return await _editor(request, me, resources, Form(), None)


@router.post(NEW)
async def create(request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    step = Step(form)
    if step.is_back:
        return await _editor(request, me, resources, Form(form.fields), None)
    with form:
        body = form.read(RoleBody, **_lists(form))
        spec, trial = RoleSpec(**body.model_dump(exclude={"name"})), step.trial()
        role = await service.create_role(resources, me.principal, body.name, spec, trial=trial)
        if trial is None:
            return go(request, f"{PAGE}/{role.name}", notices.ROLE_CREATED)
        heading = Words(N_("What creating %(role)s would do"), {"role": role.name})
        nothing = RoleSpec("")
        return await preview(
            request,
            me,
            resources,
            form,
            trial,
            heading=heading,
            address=NEW,
            button=_MAKE,
            differences=differences(nothing, role.spec),
        )
    return await _editor(request, me, resources, form, None)


@router.get(f"{PAGE}/{{name}}/edit")
async def edit_page(name: str, request: Request, me: Writer, resources: Res) -> Response:
    role = await service.get_role(resources, name)
    if role.built_in:
        raise RoleBuiltIn
    if name not in {one.name for one in await roles_to_grant(resources, me)}:
        raise LackingYourself
    return await _editor(request, me, resources, Form(_fields_of(role)), role)


@router.post(f"{PAGE}/{{name}}/edit")
async def edit(name: str, request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    role, step = await service.get_role(resources, name), Step(form)
    if step.is_back:
        return await _editor(request, me, resources, Form(form.fields), role)
    moved = form.fields.get("seen") != role.version
    with form:
        body = form.read(RolePatch, description=form.fields.get("description", ""), **_lists(form))
        changes = _changes(role, body)
        if not changes:
            form.refusal, form.status = NOTHING_CHANGED, 422
            return await _editor(request, me, resources, form, role)
        trial = step.trial(moved=moved)
        seen = role.version if trial is None else None
        changed = await service.update_role(resources, me.principal, name, **changes, if_match=seen, trial=trial)
        if trial is None:
            return go(request, f"{PAGE}/{name}", notices.ROLE_CHANGED)
        return await preview(
            request,
            me,
            resources,
            form,
            trial,
            heading=Words(N_("What changing %(role)s would do"), {"role": role.name}),
            address=f"{PAGE}/{name}/edit",
            button=_CHANGE,
            moved=moved,
            differences=differences(role.spec, changed.spec),
            kept={"seen": role.version},
        )
    return await _editor(request, me, resources, form, role)


@router.get(f"{PAGE}/{{name}}/delete")
async def delete_page(name: str, request: Request, me: Writer, resources: Res) -> Response:
    await service.get_role(resources, name)
    heading = Words(N_("Delete the role %(role)s"), {"role": name})
    return ask(request, me, heading, address=f"{PAGE}/{name}/delete", back=f"{PAGE}/{name}")


@router.post(f"{PAGE}/{{name}}/delete")
async def delete(name: str, request: Request, me: Writer, resources: Res) -> Response:
    form = await posted(request)
    role = await service.get_role(resources, name)
    trial = Step(form).trial()
    with form:
        await service.delete_role(resources, me.principal, name, trial=trial)
        if trial is None:
            return go(request, PAGE, notices.ROLE_DELETED)
        return await preview(
            request,
            me,
            resources,
            form,
            trial,
            heading=Words(N_("What deleting %(role)s would do"), {"role": role.name}),
            address=f"{PAGE}/{name}/delete",
            button=_DELETE,
            back=f"{PAGE}/{name}",
            danger=True,
        )
    return refused(request, me, form, Words(N_("Not deleted")), back=f"{PAGE}/{name}")


async def _editor(request: Request, me: Admin, resources: Resources, form: Form, role: RoleView | None) -> Response:
    """`role`: None for a new one."""
    others = [one for one in await roles_to_grant(resources, me) if role is None or one.name != role.name]
    parents = set(ticked(form.fields, "parent"))
    return screen(
        request,
        "console/role_edit.html",
        me,
        form,
        role=role,
        groups=choices(await known_permissions(resources), ticked(form.fields, "permission"), me.may),
        # Those that are chosen first: of two hundred roles they could not be found.
        roles=sorted(others, key=lambda one: one.name not in parents),
        parents=parents,
        seen=form.fields.get("seen") or (role.version if role else ""),
    )


def _fields_of(role: RoleView) -> dict[str, str]:
    texts = {"title": role.title, "description": role.description, "session_limit": str(role.session_limit or "")}
    return texts | ticks("permission", role.permissions) | ticks("parent", role.parents)


def _lists(form: Form) -> dict[str, Any]:
    limit = form.fields.get("session_limit", "").strip()
    return {
        "permissions": ticked(form.fields, "permission"),
        "parents": ticked(form.fields, "parent"),
        "session_limit": int(limit) if limit.isdecimal() and len(limit) < 10 else limit or None,
    }


def _changes(role: RoleView, body: RolePatch) -> dict[str, Any]:
    """What differs alone: the rest is not asked to be what it was when the page was opened."""
    wanted = body.model_dump()
    had = {**{name: getattr(role, name) for name in wanted}}
    return {
        name: value
        for name, value in wanted.items()
        if value is not None or name == "session_limit"
        if value != had[name]
    }


def differences(before: RoleSpec, after: RoleSpec) -> list[Difference]:
    found = [
        Difference(N_("Title"), before=before.title, after=after.title),
        Difference(N_("Description"), before=before.description, after=after.description),
        _lists_differ(N_("Permissions"), set(before.permissions), set(after.permissions)),
        _lists_differ(N_("Parents"), set(before.parents), set(after.parents)),
        Difference(N_("Session limit"), before=str(before.session_limit or "–"), after=str(after.session_limit or "–")),
    ]
    return [one for one in found if one.added or one.removed or one.before != one.after]


def _lists_differ(what: str, before: set[str], after: set[str]) -> Difference:
    return Difference(what, added=sorted(after - before), removed=sorted(before - after))

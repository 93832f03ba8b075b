"""Many grants at once: who and what, what would come out, and the job while it runs."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.admin import grant_jobs
from auth_service.admin.grant_jobs_schemas import GrantJobBody, GrantJobRowsQuery, GrantJobsQuery
from auth_service.core.connections import Res, Resources
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.choices import roles_to_grant
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.named import all_there
from auth_service.pages.console.screen import asked, moments, screen
from auth_service.pages.console.trying import carried, refused
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import Words
from auth_service.roles.many_grants import Outcome
from auth_service.users.naming import PERSONAL_DATA
from auth_service.users.search import UserFilter

router = page_router()
PAGE = "/console/grants/jobs"
Granter = Annotated[Admin, Staff("roles:grant")]
Reader = Annotated[Admin, Staff("roles:read")]
_FILTERS = ("search", "having", "active", "mfa", "email_verified")
_SAYS = {"true": True, "false": False}
OUTCOMES = {
    "granted": N_("granted"),
    "changed": N_("changed"),
    "unchanged": N_("unchanged"),
    "revoked": N_("taken away"),
    "not_there": N_("did not have it"),
    "no_such_user": N_("no such user"),
    "refused": N_("refused"),
    "waiting": N_("waiting"),
}
STATES = {
    "queued": N_("queued"),
    "running": N_("running"),
    "done": N_("done"),
    "cancelled": N_("cancelled"),
    "failed": N_("failed"),
}


@router.get(PAGE)
async def jobs_page(request: Request, me: Reader, resources: Res) -> Response:
    form, page = asked(request), None
    with form:
        query = form.read(GrantJobsQuery)
        page = await grant_jobs.list_jobs(resources, cursor=query.cursor, limit=query.limit)
    return screen(request, "console/grant_jobs.html", me, form, page=page, states=STATES)


@router.get(f"{PAGE}/new")
async def new_page(request: Request, me: Granter, resources: Res) -> Response:
    return await _editor(request, me, resources, Form())


@router.post(f"{PAGE}/new")
async def make(request: Request, me: Granter, resources: Res) -> Response:
    """Shown first: how many would come out how, and which names nobody has."""
    form = await posted(request)
    step = form.fields.get("do")
    if step == "edit":
        return await _editor(request, me, resources, Form(form.fields))
    with form:
        body = form.read(GrantJobBody, **_whom(form), **moments(request, form, "valid_from", "valid_until"))
        if not await all_there(resources, me, form, roles=("role", "having")):
            return await _editor(request, me, resources, form)
        users = _users(me, body)
        if step == "make":
            job = await grant_jobs.make_job(resources, me.principal, body.wish(), users)
            return go(request, f"{PAGE}/{job.id}", notices.JOB_BEGUN)
        foreseen = await grant_jobs.foresee_job(resources, me.principal, body.wish(), users)
        return screen(
            request,
            "console/grant_job_preview.html",
            me,
            body=body,
            counts=[(OUTCOMES[one], foreseen.counts[one]) for one in Outcome if foreseen.counts.get(one)],
            unknown=[(body.users or [])[number - 1] for number in foreseen.unknown[:100]],
            unknown_count=len(foreseen.unknown),
            fields=carried(form),
        )
    return await _editor(request, me, resources, form)


@router.get(f"{PAGE}/{{job_id}}")
async def job_page(job_id: UUID, request: Request, me: Reader, resources: Res) -> Response:
    """Loads itself again while the job runs."""
    form, rows = asked(request), None
    job = await grant_jobs.get_job(resources, job_id)
    with form:
        query = form.read(GrantJobRowsQuery)
        rows = await grant_jobs.list_rows(
            resources, me.principal, job_id, outcome=query.outcome, cursor=query.cursor, limit=query.limit
        )
    return screen(
        request,
        "console/grant_job.html",
        me,
        form,
        job=job,
        rows=rows,
        states=STATES,
        outcomes=OUTCOMES,
        runs=job.finished_at is None,
    )


@router.post(f"{PAGE}/{{job_id}}")
async def cancel(job_id: UUID, request: Request, me: Granter, resources: Res) -> Response:
    form = Form()
    with form:
        await grant_jobs.cancel_job(resources, me.principal, job_id)
        return go(request, f"{PAGE}/{job_id}", notices.JOB_CANCELLED)
    return refused(request, me, form, Words(N_("Not cancelled")), back=f"{PAGE}/{job_id}")


def _whom(form: Form) -> dict[str, Any]:
    """The names that were pasted, or the filter; both, or neither, is for the body to refuse."""
    names = form.fields.get("names", "").replace(",", " ").replace(";", " ").split()
    wanted = {name: text for name in _FILTERS if (text := form.fields.get(name, "").strip())}
    if "having" in wanted:  # `role` is the one that is granted
        wanted["role"] = wanted.pop("having")
    found: dict[str, Any] = {"users": names} if names else {}
    if wanted:
        found["filter"] = {name: _SAYS.get(text, text) if name != "search" else text for name, text in wanted.items()}
    return found


def _users(me: Admin, body: GrantJobBody) -> list[str] | UserFilter:
    if body.users is not None:
        return list(body.users)
    assert body.filter is not None  # noqa: S101  the body has one of the two
    return body.filter.wanted(personal=me.may(PERSONAL_DATA))


async def _editor(request: Request, me: Admin, resources: Resources, form: Form) -> Response:
    return screen(request, "console/grant_job_new.html", me, form, roles=await roles_to_grant(resources, me))

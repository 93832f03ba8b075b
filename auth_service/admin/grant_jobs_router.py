"""Many grants at once, for admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from auth_service.admin import grant_jobs
from auth_service.admin.csv_list import A_CSV_FILE
from auth_service.admin.grant_jobs import SEES_JOBS, JobFinished, JobsPage, JobView, RowsPage
from auth_service.admin.grant_jobs_schemas import (
    GrantJobAnswer,
    GrantJobBody,
    GrantJobRowsAnswer,
    GrantJobRowsQuery,
    GrantJobsAnswer,
    GrantJobsQuery,
    GrantJobTrialQuery,
    GrantJobWhatIf,
)
from auth_service.core.connections import Res
from auth_service.core.errors import LackingYourself, NotFound, ValidationFailed
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.permissions.checks import allows, holds
from auth_service.permissions.require import Require
from auth_service.users.naming import PERSONAL_DATA

PATH = "/grants/jobs"
router = APIRouter(prefix=PATH, tags=["roles"])
Granter = Annotated[Principal, Require("roles:grant")]
# Who watches a job for longer than a step-up lasts goes on watching.
Reader = Annotated[Principal, Require(SEES_JOBS)]
LOCATION = {"Location": {"description": "the path of the job", "schema": {"type": "string"}}}


@router.post(
    "",
    response_model=GrantJobAnswer,
    status_code=202,
    responses={
        **refusals(LackingYourself, NotFound, ValidationFailed),
        200: {"model": GrantJobWhatIf},
        202: {"headers": LOCATION},
    },
)
async def create_grant_job(
    body: GrantJobBody,
    caller: Granter,
    query: Annotated[GrantJobTrialQuery, Query()],
    resources: Res,
    response: Response,
) -> JobView | Response:
    """Grants the role to all of them, or takes it from them, in batches; ask for the job to see how far it is."""
    users = body.users
    if users is None:
        assert body.filter is not None  # noqa: S101  the body has one of the two
        wanted = body.filter.wanted(personal=await holds(resources, caller, PERSONAL_DATA))
    named = wanted if users is None else users
    if query.dry_run:
        await allows(resources, caller, SEES_JOBS)  # even a number says what others have
        found = GrantJobWhatIf.model_validate(await grant_jobs.foresee_job(resources, caller, body.wish(), named))
        return Response(found.model_dump_json(), media_type="application/json")
    job = await grant_jobs.make_job(resources, caller, body.wish(), named)
    response.headers["Location"] = f"{resources.settings.path_prefix}/api/v1{PATH}/{job.id}"
    return job


@router.get("", response_model=GrantJobsAnswer)
async def list_grant_jobs(_caller: Reader, query: Annotated[GrantJobsQuery, Query()], resources: Res) -> JobsPage:
    """Newest first; jobs of the last 30 days."""
    return await grant_jobs.list_jobs(resources, cursor=query.cursor, limit=query.limit)


@router.get("/{job_id}", response_model=GrantJobAnswer)
async def get_grant_job(job_id: UUID, _caller: Reader, resources: Res) -> JobView:
    return await grant_jobs.get_job(resources, job_id)


@router.get("/{job_id}/rows", response_model=GrantJobRowsAnswer, responses=A_CSV_FILE)
async def list_grant_job_rows(
    job_id: UUID, caller: Reader, query: Annotated[GrantJobRowsQuery, Query()], resources: Res
) -> RowsPage | StreamingResponse:
    """What came out for each user, in the order that they were given in. Logins with users:read, e-mail addresses with
    users:write. `next_cursor` leads to the next page, `format=csv` gives all in one file.
    """
    if query.format == "csv":
        return await grant_jobs.rows_file(resources, caller, job_id, outcome=query.outcome)
    return await grant_jobs.list_rows(
        resources, caller, job_id, outcome=query.outcome, cursor=query.cursor, limit=query.limit
    )


@router.post("/{job_id}/cancel", response_model=GrantJobAnswer, responses=refusals(JobFinished))
async def cancel_grant_job(job_id: UUID, caller: Granter, resources: Res) -> JobView:
    """What is done stays; the answer says how much that is."""
    return await grant_jobs.cancel_job(resources, caller, job_id)

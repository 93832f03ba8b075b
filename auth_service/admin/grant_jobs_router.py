"""Many grants at once, for admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from auth_service.admin import grant_jobs
from auth_service.admin.grant_jobs import JobFinished, JobsPage, JobView, RowsPage
from auth_service.admin.grant_jobs_schemas import (
    GrantJobAnswer,
    GrantJobBody,
    GrantJobRowsAnswer,
    GrantJobRowsQuery,
    GrantJobsAnswer,
    GrantJobsQuery,
)
from auth_service.core.connections import Res
from auth_service.core.errors import LackingYourself, NotFound, ValidationFailed
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.permissions.checks import holds
from auth_service.permissions.require import Require
from auth_service.users.naming import PERSONAL_DATA

PATH = "/grants/jobs"
router = APIRouter(prefix=PATH, tags=["roles"])
Granter = Annotated[Principal, Require("roles:grant")]
# Who watches a job for longer than a step-up lasts goes on watching.
Reader = Annotated[Principal, Require("roles:read")]
LOCATION = {"Location": {"description": "the path of the job", "schema": {"type": "string"}}}


@router.post(
    "",
    response_model=GrantJobAnswer,
    status_code=202,
    responses={**refusals(LackingYourself, NotFound, ValidationFailed), 202: {"headers": LOCATION}},
)
async def create_grant_job(body: GrantJobBody, caller: Granter, resources: Res, response: Response) -> JobView:
    """Grants the role to all of them, or takes it from them, in batches; ask for the job to see how far it is."""
    users = body.users
    if users is None:
        assert body.filter is not None  # noqa: S101  the body has one of the two
        wanted = body.filter.wanted(personal=await holds(resources, caller, PERSONAL_DATA))
    job = await grant_jobs.make_job(resources, caller, body.wish(), wanted if users is None else users)
    response.headers["Location"] = f"{resources.settings.path_prefix}/api/v1{PATH}/{job.id}"
    return job


@router.get("", response_model=GrantJobsAnswer)
async def list_grant_jobs(_caller: Reader, query: Annotated[GrantJobsQuery, Query()], resources: Res) -> JobsPage:
    """Newest first; jobs of the last 30 days."""
    return await grant_jobs.list_jobs(resources, cursor=query.cursor, limit=query.limit)


@router.get("/{job_id}", response_model=GrantJobAnswer)
async def get_grant_job(job_id: UUID, _caller: Reader, resources: Res) -> JobView:
    return await grant_jobs.get_job(resources, job_id)


@router.get("/{job_id}/rows", response_model=GrantJobRowsAnswer)
async def list_grant_job_rows(
    job_id: UUID, caller: Reader, query: Annotated[GrantJobRowsQuery, Query()], resources: Res
) -> RowsPage:
    """What came out for each user, in the order that they were given in. Logins with users:read, e-mail addresses with
    users:write.
    """
    return await grant_jobs.list_rows(
        resources, caller, job_id, outcome=query.outcome, cursor=query.cursor, limit=query.limit
    )


@router.post("/{job_id}/cancel", response_model=GrantJobAnswer, responses=refusals(JobFinished))
async def cancel_grant_job(job_id: UUID, caller: Granter, resources: Res) -> JobView:
    """What is done stays; the answer says how much that is."""
    return await grant_jobs.cancel_job(resources, caller, job_id)

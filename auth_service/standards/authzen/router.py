"""The AuthZEN Authorization API 1.0 (https://openid.net/specs/authorization-api-1_0.html) over the permission check."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from auth_service.core.connections import Res
from auth_service.core.errors import PermissionDenied, StepUpRequired
from auth_service.core.http.api_docs import refusals
from auth_service.core.http.authzen_rules import AUTHZEN
from auth_service.core.principal import AnyPrincipal
from auth_service.standards.authzen import search
from auth_service.standards.authzen.batch import evaluate_all
from auth_service.standards.authzen.paging import Page, read_page
from auth_service.standards.authzen.schemas import (
    ActionAnswer,
    ActionsAnswer,
    ActionSearchBody,
    EntityAnswer,
    EvaluationAnswer,
    EvaluationBody,
    EvaluationsAnswer,
    EvaluationsBody,
    Metadata,
    PageAnswer,
    PageBody,
    ResourcesAnswer,
    ResourceSearchBody,
    SearchContext,
    SubjectsAnswer,
    SubjectSearchBody,
    asked_of,
    context_of,
    evaluation_answer,
)
from auth_service.standards.authzen.service import NO_CODE, code_of, evaluate

METADATA_MAX_AGE_SECONDS = 3600
router = APIRouter(tags=["AuthZEN"])
_how: dict[str, Any] = {
    "response_model_exclude_none": True,
    "responses": refusals(PermissionDenied, StepUpRequired),
}


@router.post(f"{AUTHZEN}/evaluation", operation_id="authzen_evaluation", response_model=EvaluationAnswer, **_how)
async def evaluation(body: EvaluationBody, caller: AnyPrincipal, resources: Res) -> EvaluationAnswer:
    """May the subject do the action with resources of the type? A no is a 200 too."""
    (decision,) = await evaluate(resources, caller, [body.asked()])
    return evaluation_answer(decision)


@router.post(
    f"{AUTHZEN}/evaluations",
    operation_id="authzen_evaluations",
    response_model=EvaluationsAnswer | EvaluationAnswer,
    **_how,
)
async def evaluations(
    body: EvaluationsBody, caller: AnyPrincipal, resources: Res
) -> EvaluationsAnswer | EvaluationAnswer:
    """Up to 1,000 evaluations in their order; one that is wrong is denied, with `context.error`."""
    return await evaluate_all(resources, caller, body)


@router.post(f"{AUTHZEN}/search/subject", operation_id="authzen_search_subject", response_model=SubjectsAnswer, **_how)
async def search_subject(body: SubjectSearchBody, caller: AnyPrincipal, resources: Res) -> SubjectsAnswer:
    """Users, or services, who may do it now: by id, users by login where AUTHZEN_SUBJECT_ID says so."""
    code = code_of(body.resource.type, body.action.name)
    found = await search.subjects_with(resources, caller, body.subject.type, code, _page(body, body.page))
    results = [EntityAnswer(type=body.subject.type, id=name) for name in found.names]
    return SubjectsAnswer(page=_page_answer(found), context=_context(found), results=results)


@router.post(f"{AUTHZEN}/search/action", operation_id="authzen_search_action", response_model=ActionsAnswer, **_how)
async def search_action(body: ActionSearchBody, caller: AnyPrincipal, resources: Res) -> ActionsAnswer:
    """What the subject may do now with resources of the type."""
    subject = asked_of(body.subject, NO_CODE)
    found = await search.actions_of(resources, caller, subject, body.resource.type, _page(body, body.page))
    results = [ActionAnswer(name=name) for name in found.names]
    return ActionsAnswer(page=_page_answer(found), context=_context(found), results=results)


@router.post(
    f"{AUTHZEN}/search/resource", operation_id="authzen_search_resource", response_model=ResourcesAnswer, **_how
)
async def search_resource(body: ResourceSearchBody, caller: AnyPrincipal, resources: Res) -> ResourcesAnswer:
    """No result, since no resource is known by its id; `context` says whether all of the type are allowed."""
    _page(body, body.page)  # a wrong token is one here too
    (decision,) = await evaluate(resources, caller, [body.asked()])
    return ResourcesAnswer(page=PageAnswer(next_token="", count=0), context=context_of(decision), results=[])


@router.get("/.well-known/authzen-configuration", operation_id="authzen_configuration", response_model=Metadata)
async def configuration(response: Response, resources: Res) -> Metadata:
    """Where a PEP finds what (section 9); the PDP is named as ISSUER is."""
    response.headers["cache-control"] = f"public, max-age={METADATA_MAX_AGE_SECONDS}"
    issuer = resources.settings.issuer
    base = f"{issuer.rstrip('/')}{AUTHZEN}"
    return Metadata(
        policy_decision_point=issuer,
        access_evaluation_endpoint=f"{base}/evaluation",
        access_evaluations_endpoint=f"{base}/evaluations",
        search_subject_endpoint=f"{base}/search/subject",
        search_action_endpoint=f"{base}/search/action",
    )


def _page(body: BaseModel, page: PageBody | None) -> Page:
    question = [type(body).__name__, body.model_dump(exclude={"page"})]
    return read_page(question, token=page.token if page else None, limit=page.limit if page else None)


def _page_answer(found: search.Found) -> PageAnswer:
    return PageAnswer(next_token=found.next_token, count=len(found.names))


def _context(found: search.Found) -> SearchContext | None:
    return SearchContext(step_up_required=found.stepping_up) if found.stepping_up else None

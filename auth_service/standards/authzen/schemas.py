"""Requests and answers of the AuthZEN Authorization API 1.0, sections 5 to 9. Sections below are of that document.

Unknown fields are ignored and null is as good as left out, in what comes and by whoever reads what we answer.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from auth_service.core.ids import read_id
from auth_service.core.schemas import NOT_NULL, WHOLE, Answer
from auth_service.permissions.decision import Decision
from auth_service.permissions.schemas import MAX_CHECKS
from auth_service.standards.authzen.service import Asked, code_of

# Any text names something; what we know nothing by is denied. The pattern keeps the document from naming a tighter one.
Text = Annotated[str, Field(json_schema_extra={"pattern": r"^[\s\S]*$"})]
Properties = Annotated[dict[str, Any] | None, Field(default=None)]
Semantic = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]


class _Open(BaseModel):
    """Section 10.1.1: "receivers MUST ignore unknown fields"."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class SubjectType(_Open):
    """`user` or `service`; there is nobody of another type."""

    type: Text
    properties: Properties


class Subject(SubjectType):
    """`id`: of a user id, login or, for callers with users:write, e-mail address; of a service client id or name.

    `properties.session_id`: the `sid` of the user's token, for permissions that ask for a step-up.
    """

    id: Text


class Action(_Open):
    """`name`: what stands behind the colon of a permission, such as `watch`."""

    name: Text
    properties: Properties


class ResourceType(_Open):
    """`type`: what stands before the colon of a permission, such as `films`."""

    type: Text
    properties: Properties


class Resource(ResourceType):
    """`id` is not looked at: a permission is for all resources of its type."""

    id: Text


class EvaluationBody(_Open):
    subject: Subject
    action: Action
    resource: Resource
    context: Properties

    def asked(self) -> Asked:
        return asked_of(self.subject, code_of(self.resource.type, self.action.name))


class Options(_Open):
    """Without a semantic it is `execute_all`."""

    evaluations_semantic: Semantic | None = None


class EvaluationsBody(_Open):
    """`subject`, `action`, `resource` and `context` stand in for those that an item of `evaluations` leaves out.

    Each as a whole. Without items they are the one evaluation that is asked.
    """

    subject: Properties
    action: Properties
    resource: Properties
    context: Properties
    evaluations: Annotated[list[Any], Field(max_length=MAX_CHECKS)] | None = None
    options: Options | None = None


class PageBody(_Open):
    """`token`: the `next_token` of the answer before; everything else is then as it was."""

    token: Text | None = None
    limit: Annotated[int, Field(strict=True, ge=0), WHOLE] | None = None
    properties: Properties


class SubjectSearchBody(_Open):
    subject: SubjectType
    action: Action
    resource: Resource
    context: Properties
    page: PageBody | None = None


class ResourceSearchBody(_Open):
    subject: Subject
    action: Action
    resource: ResourceType
    context: Properties
    page: PageBody | None = None

    def asked(self) -> Asked:
        return asked_of(self.subject, code_of(self.resource.type, self.action.name))


class ActionSearchBody(_Open):
    subject: Subject
    resource: Resource
    context: Properties
    page: PageBody | None = None


class ItemError(Answer):
    status: int
    message: str


class DecisionContext(Answer):
    """`reason` and `valid_until` as of POST /permissions/check; `error` in place of them where an item is wrong."""

    reason: str | None = Field(default=None)
    valid_until: datetime | None = Field(default=None)
    error: ItemError | None = Field(default=None)


class EvaluationAnswer(Answer):
    decision: bool
    context: DecisionContext


class EvaluationsAnswer(Answer):
    """In the order of the items; shorter where one of them decided."""

    evaluations: list[EvaluationAnswer]


class PageAnswer(Answer):
    """`next_token` is empty on the last page; `count`: how many results this one has."""

    next_token: str
    count: int


class SearchContext(Answer):
    """`step_up_required`: actions for which the session must also show a second factor, at the evaluation."""

    step_up_required: list[str]


class EntityAnswer(Answer):
    type: str
    id: str


class ActionAnswer(Answer):
    name: str


class SubjectsAnswer(Answer):
    page: PageAnswer
    context: Annotated[SearchContext | None, NOT_NULL] = None
    results: list[EntityAnswer]


class ActionsAnswer(Answer):
    page: PageAnswer
    context: Annotated[SearchContext | None, NOT_NULL] = None
    results: list[ActionAnswer]


class ResourcesAnswer(Answer):
    """`results` is empty: no resource is known by its id. `context` says whether all of the type are allowed."""

    page: PageAnswer
    context: DecisionContext
    results: list[EntityAnswer]


class Metadata(Answer):
    """Section 9.1. `search_resource_endpoint` is left out, which says that we cannot name resources."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str
    search_action_endpoint: str


def asked_of(subject: Subject, code: str) -> Asked:
    session_id = (subject.properties or {}).get("session_id")
    return Asked(subject.type, subject.id, code, read_id(session_id) if isinstance(session_id, str) else None)


def context_of(decision: Decision) -> DecisionContext:
    return DecisionContext(reason=decision.reason, valid_until=decision.valid_until)


def evaluation_answer(decision: Decision) -> EvaluationAnswer:
    return EvaluationAnswer(decision=decision.allowed, context=context_of(decision))

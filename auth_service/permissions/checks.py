"""HOT. Answers checks: loads what a decision needs, and lets decision.py decide."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.errors import (
    NotFound,
    PermissionDenied,
    ScopeMissing,
    StepUpRequired,
)
from auth_service.core.principal import Principal
from auth_service.permissions import repository
from auth_service.permissions.cache import CheckCache
from auth_service.permissions.codes import CHECK_OTHERS, OWN_CODES
from auth_service.permissions.decision import Decision, Grant, Reason, Subject, decide
from auth_service.permissions.patterns import covering, covers
from auth_service.permissions.step_up import Demand, demand_of, judged


@dataclass(frozen=True, slots=True)
class Question:
    """`session_id`: the user's session that the question is about; what wants a step-up is denied without one."""

    code: str
    user_id: UUID
    session_id: UUID | None = None


async def allows(
    resources: Resources, principal: Principal, code: str, cache: CheckCache | None = None
) -> Decision | None:
    """The caller's own decision; None for a service whose token has the scope. Raises PermissionDenied."""
    if principal.is_service:
        if covers(principal.claims.scopes, code):
            return None
        raise ScopeMissing(code)
    (decision,) = await _decide(resources, [Question(code, principal.subject, principal.session_id)], cache)
    _must_allow(code, decision)
    return decision


def _must_allow(code: str, decision: Decision) -> None:
    if decision.reason is Reason.STEP_UP_REQUIRED:
        raise StepUpRequired("This takes a second factor, shown a short time ago: POST /api/v1/auth/step-up.")
    if not decision.allowed:
        raise PermissionDenied(f"You need the permission {code} ({decision.reason}).")


async def allows_all(resources: Resources, principal: Principal, codes: Sequence[str]) -> list[Grant]:
    """As `allows` of a user and each of the codes, in their order; then all that the user's active grants give, which
    the same query has told.
    """
    questions = [Question(code, principal.subject, principal.session_id) for code in codes]
    subjects, known = await repository.load_facts(resources.hot, [principal.subject], patterns=None, codes=codes)
    now = resources.clock()
    decisions, _ = await _judge(resources, questions, subjects, known, now)
    for code, decision in zip(codes, decisions, strict=True):
        _must_allow(code, decision)
    return _active(subjects[principal.subject], now)


async def holds(resources: Resources, principal: Principal, code: str) -> bool:
    """Whether `allows` lets the caller; raises a store failure (503), which is no answer."""
    try:
        await allows(resources, principal, code)
    except (PermissionDenied, StepUpRequired):
        return False
    return True


async def answer_checks(
    resources: Resources,
    caller: Principal,
    checks: Sequence[tuple[str, UUID | None, UUID | None]],
    cache: CheckCache | None = None,
) -> list[Decision]:
    """Of (code, user id, session id), in their order and all on one snapshot.

    Of the caller without a user id; of anyone for services and admins with permissions:check (CHK-1). The stores are
    asked in any case; what they say is put into `cache`.
    """
    if caller.is_service and any(user_id is None for _, user_id, _ in checks):
        raise PermissionDenied("A service account names the user it asks about: user_id.")
    questions = [_question(caller, *check) for check in checks]
    await may_ask_about(resources, caller, {question.user_id for question in questions}, cache)
    return _counted(resources, await _decide(resources, questions, cache))


async def may_ask_about(
    resources: Resources, caller: Principal, user_ids: Collection[UUID], cache: CheckCache | None = None
) -> None:
    """A user about the user alone, whoever has permissions:check about anyone (CHK-1); raises PermissionDenied."""
    if caller.is_service or any(user_id != caller.subject for user_id in user_ids):
        await allows(resources, caller, CHECK_OTHERS, cache)


async def answer_about_services(
    resources: Resources, caller: Principal, checks: Sequence[tuple[str, str]]
) -> list[Decision]:
    """Of (code, client id or name of a service account), in their order: whether its scopes cover the code.

    A service has no session, so a step-up is not asked of it, as it is not where it calls us itself.
    """
    await allows(resources, caller, CHECK_OTHERS)
    services = await repository.load_services(resources.hot, {name for _, name in checks})
    _, known = await repository.load_facts(resources.hot, (), patterns=(), codes={code for code, _ in checks})
    now = resources.clock()
    nobody = Subject()
    decisions = [decide(code, known[code] is not None, services.get(name, nobody), now) for code, name in checks]
    return _counted(resources, decisions)


def count_decision(resources: Resources, decision: Decision) -> None:
    resources.metrics.checks.labels(decision.reason).inc()


def _counted(resources: Resources, decisions: list[Decision]) -> list[Decision]:
    for reason, count in Counter(decision.reason for decision in decisions).items():
        resources.metrics.checks.labels(reason).inc(count)
    return decisions


def _question(caller: Principal, code: str, user_id: UUID | None, session_id: UUID | None) -> Question:
    if not caller.is_service and user_id in {None, caller.subject}:
        return Question(code, caller.subject, caller.session_id)
    return Question(code, user_id or caller.subject, session_id)


async def _decide(
    resources: Resources, questions: Sequence[Question], cache: CheckCache | None = None
) -> list[Decision]:
    """HOT. One query, and a second one only for what asks for a second factor; raises a store failure (503)."""
    codes = {question.code for question in questions}
    patterns = {pattern for code in codes for pattern in covering(code)}
    users = {question.user_id for question in questions}
    places = cache.places(users) if cache else None  # before the stores are asked
    subjects, known = await repository.load_facts(resources.hot, users, patterns=patterns, codes=codes)
    now = resources.clock()
    if cache:
        cache.seen(now.timestamp())
    decisions, demands = await _judge(resources, questions, subjects, known, now)
    if cache and places:
        for question, decision in zip(questions, decisions, strict=True):
            place = places[question.user_id]
            if subjects[question.user_id].active is None:
                cache.forget_unknown(question.user_id, place)
            else:
                of_session = demands[question.code] is not Demand.NOTHING
                cache.keep(place, question.code, question.session_id, decision, of_session=of_session)
    return decisions


async def _judge(
    resources: Resources,
    questions: Sequence[Question],
    subjects: Mapping[UUID, Subject],
    known: Mapping[str, bool | None],
    now: datetime,
) -> tuple[list[Decision], dict[str, Demand]]:
    """HOT. By what `load_facts` found; and what each code asks of a session."""
    decisions = [decide(q.code, known[q.code] is not None, subjects[q.user_id], now) for q in questions]
    demands = {code: demand_in(resources, code, marked=bool(mark)) for code, mark in known.items()}
    if any(demand is not Demand.NOTHING for demand in demands.values()):
        sessions = {q.session_id for q in questions if q.session_id and demands[q.code] is not Demand.NOTHING}
        shown = await repository.second_factors_of(resources.hot, sessions) if sessions else {}
        decisions = [
            judged(decision, demands[q.code], shown.get((q.user_id, q.session_id)) if q.session_id else None, now)
            for q, decision in zip(questions, decisions, strict=True)
        ]
    return decisions, demands


def demand_in(resources: Resources, code: str, *, marked: bool) -> Demand:
    """What the code asks of a session under the settings."""
    return demand_of(code, marked=marked, administrative=resources.settings.admin_mfa_required and code in OWN_CODES)


async def effective_permissions(resources: Resources, user_id: UUID) -> list[Grant]:
    """All that active grants give at this moment, sorted; raises NotFound. A disabled user has nothing."""
    subjects, _ = await repository.load_facts(resources.hot, [user_id], patterns=None)
    subject = subjects[user_id]
    if subject.active is None:
        raise NotFound("There is no such user.")
    return sorted(_active(subject, resources.clock()), key=lambda grant: (grant.pattern, grant.role, grant.via))


def _active(subject: Subject, now: datetime) -> list[Grant]:
    if not subject.active:
        return []
    return [grant for grants in subject.grants.values() for grant in grants if grant.active(now)]

"""AuthZEN's searches (section 8): what an evaluation would allow, but for the second factor, which is of a session."""

from dataclasses import dataclass, replace
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.ids import read_id
from auth_service.core.principal import Principal
from auth_service.permissions.checks import allows, demand_in, may_ask_about
from auth_service.permissions.codes import CHECK_OTHERS
from auth_service.permissions.decision import Reason
from auth_service.permissions.holders import services_with, users_with
from auth_service.permissions.repository import codes_of, load_facts, logins_of
from auth_service.permissions.step_up import Demand
from auth_service.standards.authzen.paging import Page, next_token, not_ours
from auth_service.standards.authzen.service import NOBODY, SERVICE, USER, Asked, evaluate, user_ids


@dataclass(frozen=True, slots=True)
class Found:
    """`names`: of subjects or actions; `stepping_up`: those actions that also want a second factor."""

    names: list[str]
    next_token: str
    stepping_up: list[str]


async def subjects_with(resources: Resources, caller: Principal, subject_type: str, code: str, page: Page) -> Found:
    """Who has the permission now, by id or as AUTHZEN_SUBJECT_ID says; raises PermissionDenied."""
    await allows(resources, caller, CHECK_OTHERS)
    after = _read_id(page.after)
    _, known = await load_facts(resources.hot, (), patterns=(), codes=[code])
    marked = known[code]
    if marked is None or subject_type not in {USER, SERVICE}:
        return Found([], "", [])
    if subject_type == SERVICE:
        ids = await services_with(resources.hot, code, after=after, limit=page.limit + 1)
        return _found([str(service_id) for service_id in ids], page)
    ids = await users_with(resources.hot, code, resources.clock(), after=after, limit=page.limit + 1)
    demand = demand_in(resources, code, marked=marked)
    found = _found([str(user_id) for user_id in ids], page, [] if demand is Demand.NOTHING else [_action_in(code)])
    if resources.settings.authzen_subject_id == "login":
        logins = await logins_of(resources.hot, ids[: page.limit])
        return replace(found, names=[logins[user_id] for user_id in ids[: page.limit] if user_id in logins])
    return found


async def actions_of(resources: Resources, caller: Principal, subject: Asked, resource_type: str, page: Page) -> Found:
    """What the subject, of whose question the code is not looked at, may do with the type; raises PermissionDenied."""
    await _may_ask(resources, caller, subject)
    codes = await codes_of(resources.hot, resource_type)
    asked = [Asked(subject.subject_type, subject.subject_id, code, subject.session_id) for code in codes]
    decisions = await evaluate(resources, caller, asked)
    reasons = {
        _action_in(code): decision.reason
        for code, decision in zip(codes, decisions, strict=True)
        if decision.allowed or decision.reason is Reason.STEP_UP_REQUIRED
    }
    names = [name for name in sorted(reasons) if page.after is None or name > page.after][: page.limit + 1]
    return _found(names, page, [name for name in names if reasons[name] is Reason.STEP_UP_REQUIRED])


async def _may_ask(resources: Resources, caller: Principal, subject: Asked) -> None:
    """Also where the type of resource has no action, and so nothing would be asked."""
    names = {subject.subject_id} if subject.subject_type == USER else set()
    ids = await user_ids(resources, caller, names)
    await may_ask_about(resources, caller, {ids.get(subject.subject_id, NOBODY)})


def _action_in(code: str) -> str:
    return code.partition(":")[2]


def _found(names: list[str], page: Page, stepping_up: list[str] | None = None) -> Found:
    """Of one more than the page has, which is how we know that there is more."""
    shown = names[: page.limit]
    more = len(names) > page.limit
    token = next_token(page, shown[-1] if shown else page.after) if more else ""
    return Found(shown, token, [name for name in stepping_up or () if name not in names[page.limit :]])


def _read_id(after: str | None) -> UUID | None:
    found = None if after is None else read_id(after)
    if after is not None and found is None:
        raise not_ours()
    return found

"""Who gained and who lost by a change that was made: by the states right before and after its row of the audit trail.

By the rules, the grants and the accounts as they were then, so nothing that came later plays a part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from auth_service.audit.trail import Action
from auth_service.core.connections import Resources
from auth_service.core.errors import NotKnownThen
from auth_service.models import AuditLog
from auth_service.permissions.then import Then, known_since, load_active, load_grants, load_rules, one_snapshot
from auth_service.permissions.then_sql import ACTIVE, grants_at, switched_since
from auth_service.permissions.what_if.comparison import GrantChange, Period, Rules, compare, with_inherited
from auth_service.permissions.what_if.effect import Asked, Effect, find_effect
from auth_service.permissions.what_if.people import Source

_COLUMNS = "user_id, role_name, valid_from, valid_until"
_GRANTS = f"(WITH {grants_at('{0}', '{1}', '{2}')} SELECT {_COLUMNS} FROM granted)"  # noqa: S608
_THEIR_GRANTS = f"(WITH {grants_at('{0}', '{1}', '{2}', users='{3}::uuid[]')} SELECT {_COLUMNS} FROM granted)"  # noqa: S608
_PEOPLE = f"(WITH {switched_since('{0}')} SELECT id, login_key FROM users WHERE created_at <= {{1}} AND {ACTIVE})"  # noqa: S608
_SWITCHES = frozenset({Action.USER_DISABLED, Action.USER_ENABLED})
_NOT_TOLD = {
    Action.USER_DELETED: "Of an account that was deleted nothing is kept but its id.",
    Action.USERS_IMPORTED: "The row of an import does not say whom it brought.",
}


@dataclass(frozen=True, slots=True)
class _Change:
    """`grants`: those of one user, which the row changed, or which it switched on or off."""

    before: Rules
    after: Rules
    grants: Sequence[GrantChange] = ()


async def find_past_effect(resources: Resources, row: AuditLog, asked: Asked) -> Effect:
    """From the row's time on: also what was to begin later. Nobody, where it changed no access.

    Raises NotKnownThen, EffectBusy or EffectTimeout.
    """
    if row.action in _NOT_TOLD:
        raise NotKnownThen(_NOT_TOLD[Action(row.action)])
    async with one_snapshot(resources) as (_, connection):
        since = await known_since(connection)
        if since is not None and row.at < since:
            raise NotKnownThen(f"What was then is not known: it is since {since.isoformat()}.")
        change = await _change(connection, row)
    comparison = compare(change.before, change.after, {grant.role for grant in change.grants})
    source = Source(_GRANTS, _PEOPLE, (row.id, row.at, list(comparison.kinds)))
    if change.grants:
        # Of one who is, or was, switched off: whose grants do not count in the one state.
        theirs = [grant.user_id for grant in change.grants[:1]]
        source = Source(_THEIR_GRANTS, "(SELECT id, login_key FROM users)", (*source.arguments, theirs))
    return await find_effect(resources, change.before, change.after, change.grants, asked, now=row.at, source=source)


async def _change(connection: Any, row: AuditLog) -> _Change:
    before, after = Then(row.id - 1, row.at), Then(row.id, row.at)
    rules = await _rules(connection, after)
    if row.target_kind in {"role", "permission"}:
        return _Change(await _rules(connection, before), rules)
    if row.target_kind != "user" or row.target_id is None:
        return _Change(rules, rules)
    user_id = UUID(row.target_id)
    held = {
        grant.role: Period(grant.valid_from, grant.valid_until)
        for grant in await load_grants(connection, user_id, after)
    }
    _, is_active = await load_active(connection, user_id, after)
    grants = []
    if row.action in {Action.ROLE_GRANTED, Action.ROLE_REVOKED} and is_active:
        role = str((row.after or row.before or {})["role"])
        grants = [GrantChange(user_id, role, before=_period(row.before), after=_period(row.after))]
    elif row.action in {*_SWITCHES, Action.USER_CREATED}:
        was_active = row.action != Action.USER_CREATED and (await load_active(connection, user_id, before))[1]
        if bool(was_active) is not bool(is_active):
            sides = [(period if was_active else None, period if is_active else None) for period in held.values()]
            grants = [GrantChange(user_id, role, *side) for role, side in zip(held, sides, strict=True)]
    # Of all roles those of the user alone matter.
    rules = rules.of(held.keys() | {grant.role for grant in grants})
    return _Change(rules, rules, grants)


async def _rules(connection: Any, then: Then) -> Rules:
    rules = await load_rules(connection, then)
    return with_inherited(rules, rules.roles)


def _period(facts: Mapping[str, Any] | None) -> Period | None:
    if facts is None:
        return None
    begins, ends = facts["valid_from"], facts["valid_until"]
    return Period(datetime.fromisoformat(begins), None if ends is None else datetime.fromisoformat(ends))

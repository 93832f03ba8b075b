"""Who may change how many sessions the holders of a role may have: it ends sessions, at each holder's next login."""

from collections.abc import Mapping
from datetime import datetime

from auth_service.core.errors import LackingYourself
from auth_service.permissions.actor import Actor
from auth_service.permissions.patterns import EVERYTHING
from auth_service.roles.hierarchy import Hierarchy

ENDS_SESSIONS = "users:write"


def must_limit(
    actor: Actor,
    hierarchy: Hierarchy,
    before: Mapping[str, int | None],
    after: Mapping[str, int | None],
    *,
    default_role: str,
    now: datetime,
) -> None:
    """`before` and `after`: what each role says by itself or by its parents, as `Hierarchy.session_limits` tells.

    Raises LackingYourself unless the actor may end sessions, and holds all that the roles give whose limit changes.
    Everybody has the default role, those above the actor too, so its limit is for who has everything.
    """
    changed = [name for name in after if before.get(name) != after[name]]
    if not changed:
        return
    needed = {ENDS_SESSIONS}.union(*(hierarchy.effective(name) for name in changed))
    if default_role in changed:
        needed = {EVERYTHING}
    try:
        actor.must_hold(needed, until=now)
    except LackingYourself:
        raise LackingYourself(
            "A session limit ends sessions of all who have the role: it takes users:write and all that the role and"
            " its children give; where everybody has it, a superuser."
        ) from None

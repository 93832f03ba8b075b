"""A plain model of access, beside which the service is held: sets and dictionaries, copied whole at each step."""

import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from auth_service.permissions.patterns import covers
from tests.support.api import V1, Api, Tokens

Period = tuple[datetime, datetime | None]


@dataclass
class World:
    """`roles`: (patterns, parents) by name; `codes`: whether marked; `grants` by user and role; `active` by user."""

    roles: dict[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)
    codes: dict[str, bool] = field(default_factory=dict)
    grants: dict[tuple[str, str], Period] = field(default_factory=dict)
    active: dict[str, bool] = field(default_factory=dict)

    def copy(self) -> "World":
        return copy.deepcopy(self)

    def patterns(self, role: str) -> set[str]:
        found, waiting = set(), [role]
        seen = set()
        while waiting:
            name = waiting.pop()
            if name not in seen and name in self.roles:
                seen.add(name)
                found |= self.roles[name][0]
                waiting += self.roles[name][1]
        return found

    def held(self, user: str, at: datetime) -> set[str]:
        """All patterns that active grants give."""
        if not self.active.get(user):
            return set()
        return {
            pattern
            for (owner, role), period in self.grants.items()
            if owner == user and is_active(period, at)
            for pattern in self.patterns(role)
        }

    def has(self, user: str, at: datetime) -> set[str]:
        """All codes."""
        held = self.held(user, at)
        return {code for code in self.codes if covers(held, code)}

    def reason(self, user: str, code: str, at: datetime) -> str:
        """Of a question without a session."""
        if code not in self.codes:
            return "unknown_permission"
        if user not in self.active:
            return "no_grant"
        if not self.active[user]:
            return "user_inactive"
        if code in self.has(user, at):
            return "step_up_required" if self.codes[code] else "granted"
        periods = [
            period
            for (owner, role), period in self.grants.items()
            if owner == user and covers(self.patterns(role), code)
        ]
        if not periods:
            return "no_grant"
        return "grant_not_started" if any(begins > at for begins, _ in periods) else "grant_expired"

    def holders(self, code: str, at: datetime) -> set[str]:
        return {user for user in self.active if code in self.has(user, at)}


def is_active(period: Period, at: datetime) -> bool:
    begins, ends = period
    return begins <= at and (ends is None or at < ends)


async def read_world(api: Api, reader: Tokens) -> World:
    """Roles and catalogue as they are, without people."""
    roles: list[dict[str, Any]] = (await api.http.get(f"{V1}/roles", headers=reader.bearer)).json()
    codes: list[dict[str, Any]] = (await api.http.get(f"{V1}/permissions", headers=reader.bearer)).json()
    return World(
        roles={item["name"]: (frozenset(item["permissions"]), frozenset(item["parents"])) for item in roles},
        codes={item["code"]: item["step_up"] for item in codes},
    )

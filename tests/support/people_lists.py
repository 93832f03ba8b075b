"""Small worlds of users, roles and grants, and what the lists of admins must say of them: in plain Python."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.models import new_id
from tests.support.api import V1, Api, Tokens

CODES = ("maps:draw", "maps:read", "atlas:read")
PATTERNS = (*CODES, "maps:*", "atlas:*")
ROLES = ("alfa", "bravo", "charlie", "delta", "echo", "foxtrot")
HOURS = (-3, -2, -1, 0, 1, 2, 3)
LOGINS = ("ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal", "ida", "joe")


async def build_world(resources: Resources, dice: random.Random, now: datetime) -> None:
    """In place of the one before. Grants begin and end at whole hours around `now`, at `now` itself too."""
    pool = resources.hot
    await pool.execute("DELETE FROM users WHERE login = ANY($1::text[])", list(LOGINS))
    await pool.execute("DELETE FROM role_parents WHERE parent_name = ANY($1::text[])", list(ROLES))
    await pool.execute("DELETE FROM roles WHERE name = ANY($1::text[])", list(ROLES))
    for code in CODES:
        await pool.execute("INSERT INTO permissions (code, title) VALUES ($1, $1) ON CONFLICT DO NOTHING", code)
    for number, role in enumerate(ROLES):
        await pool.execute("INSERT INTO roles (name, title) VALUES ($1, $1)", role)
        for pattern in dice.sample(PATTERNS, dice.choice((0, 0, 1, 2))):
            await pool.execute("INSERT INTO role_permissions (role_name, pattern) VALUES ($1, $2)", role, pattern)
        for parent in dice.sample(ROLES[:number], min(number, dice.choice((0, 1, 2)))):
            await pool.execute("INSERT INTO role_parents VALUES ($1, $2)", role, parent)
    users = []
    for login in LOGINS:
        user_id = new_id()
        users.append(user_id)
        await pool.execute(
            "INSERT INTO users (id, login, login_key, email, email_key, full_name, password_hash, is_active)"
            " VALUES ($1, $2, $2, $3, $3, $4, 'x', $5)",
            *(user_id, login, f"{login}@example.com", f"{login.title()} Smith", dice.random() < 0.8),
        )
    for user_id in users:
        for role in dice.sample(ROLES, dice.choice((0, 1, 2, 3))):
            start, end = sorted(dice.sample(HOURS, 2))
            until = None if dice.random() < 0.4 else now + timedelta(hours=end)
            await pool.execute(
                "INSERT INTO user_roles (user_id, role_name, valid_from, valid_until, granted_by, reason)"
                " VALUES ($1, $2, $3, $4, $5, 'of a test')",
                *(user_id, role, now + timedelta(hours=start), until, dice.choice([None, *users[:3]])),
            )


@dataclass
class World:
    """The tables, as they are."""

    users: Mapping[UUID, Any]
    grants: Sequence[Any]
    parents: Sequence[tuple[str, str]]
    patterns: Sequence[tuple[str, str]]

    def holders(self, code: str, at: datetime, role: str | None) -> list[tuple[str, list[tuple[str, str, str]]]]:
        """(id, ways as (role, via, pattern)), by id."""
        found = []
        for user_id in sorted(self.users, key=lambda one: one.int):
            ways = [
                (grant["role_name"], via, pattern)
                for grant in self.grants
                if grant["user_id"] == user_id and role in {None, grant["role_name"]}
                if grant["valid_from"] <= at and (grant["valid_until"] is None or at < grant["valid_until"])
                for via in self._lineage(grant["role_name"])
                for name, pattern in self.patterns
                if name == via and _gives(pattern, code)
            ]
            if self.users[user_id]["is_active"] and ways:
                found.append((str(user_id), sorted(ways)))
        return found

    def grants_of(self, now: datetime, **asked: Any) -> list[tuple[str, str, str]]:
        """(login, role, state) of those that fit, in their order."""
        listed = []
        for grant in self.grants:
            start, end = grant["valid_from"], grant["valid_until"]
            state = "coming" if start > now else "ended" if end is not None and end <= now else "active"
            granter = grant["granted_by"]
            facts = {
                "role": grant["role_name"],
                "user": self.users[grant["user_id"]]["login"],
                "granted_by": granter and self.users[granter]["login"],
                "state": state,
            }
            since, until = asked.get("ends_since"), asked.get("ends_until")
            if (since or until) and (end is None or (since and end < since) or (until and end >= until)):
                continue
            if any(asked.get(name) not in {None, fact} for name, fact in facts.items()):
                continue
            first = datetime.min.replace(tzinfo=UTC)
            if since or until or asked.get("state") == "ended":
                first = end
            elif asked.get("state") == "coming":
                first = start
            listed.append(((first, grant["user_id"].int, grant["role_name"]), (facts["user"], facts["role"], state)))
        return [item for _, item in sorted(listed)]

    def _lineage(self, role: str) -> set[str]:
        found = {role}
        while more := {parent for child, parent in self.parents if child in found} - found:
            found |= more
        return found


def _gives(pattern: str, code: str) -> bool:
    return pattern in {code, "*"} or pattern == f"{code.partition(':')[0]}:*"


async def read_world(resources: Resources) -> World:
    pool = resources.hot
    users = {row["id"]: row for row in await pool.fetch("SELECT * FROM users")}
    grants = await pool.fetch("SELECT * FROM user_roles")
    parents = [(row["role_name"], row["parent_name"]) for row in await pool.fetch("SELECT * FROM role_parents")]
    patterns = [(row["role_name"], row["pattern"]) for row in await pool.fetch("SELECT * FROM role_permissions")]
    return World(users, grants, parents, patterns)


async def all_pages(api: Api, caller: Tokens, path: str, *, limit: int = 100, **query: Any) -> list[dict[str, Any]]:
    """Every page together; each but the last is full."""
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        asked = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in query.items()}
        asked |= {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        answer = await api.http.get(f"{V1}{path}?{urlencode(asked)}", headers=caller.bearer)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items
        assert len(page["items"]) == limit

"""Random roles, grants and services of a few people, a random change of them, and whom it touches, in plain Python."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from hypothesis import strategies as some

from auth_service.models import new_id
from tests.support.api import unique

ACTIONS = ("one", "two", "three")
DAYS = (-2, -1, 0, 1, 2, 3)
Time = int | None  # in days from now; None: for ever
Body = dict[str, Any]


@dataclass(frozen=True)
class Role:
    patterns: frozenset[str]
    parents: frozenset[str]


@dataclass(frozen=True)
class State:
    """Names are small here; `Names` makes them the database's. `grants`: by (user, role)."""

    codes: frozenset[str]
    roles: dict[str, Role]
    grants: dict[tuple[str, str], tuple[int, Time]]

    def gives(self, role: str, code: str) -> bool:
        own = self.roles[role]
        mine = bool(own.patterns & {code, f"{code.partition(':')[0]}:*", "*"})
        return code in self.codes and (mine or any(self.gives(parent, code) for parent in own.parents))

    def has(self, user: str, code: str, day: float) -> bool:
        return any(
            who == user and start <= day and (end is None or day < end) and self.gives(role, code)
            for (who, role), (start, end) in self.grants.items()
        )


@dataclass(frozen=True)
class Change:
    """`method`, `path` and `body` with small names; or `file`: what a file of roles and permissions says.

    `after`: the state that it leads to, unless it is refused. `sure`: nothing refuses it.
    """

    method: str
    path: str
    after: State
    sure: bool = True
    body: Body | None = None
    file: Body | None = None


@dataclass(frozen=True)
class World:
    state: State
    active: dict[str, bool]
    services: dict[str, frozenset[str]]
    change: Change


CODES = [f"{resource}:{action}" for resource in ("films", "books") for action in ACTIONS]
PATTERNS = [*CODES, "films:*", "books:*"]
ROLES = ("r0", "r1", "r2", "r3")
USERS = ("u0", "u1", "u2", "u3")
KINDS = ("role", "parents", "both", "new", "gone", "code", "no code", "grant", "take", "file")


@some.composite
def worlds(draw: some.DrawFn, kind: str) -> World:
    codes = draw(some.frozensets(some.sampled_from(CODES), min_size=2))
    usable = sorted({*codes, *(f"{code.partition(':')[0]}:*" for code in codes)})
    roles: dict[str, Role] = {}
    for name in ROLES:
        parents = draw(some.frozensets(some.sampled_from(sorted(roles)), max_size=2)) if roles else frozenset()
        roles[name] = Role(draw(some.frozensets(some.sampled_from(usable), max_size=3)), parents)
    pairs = draw(some.lists(some.tuples(some.sampled_from(USERS), some.sampled_from(ROLES)), max_size=8, unique=True))
    grants = {pair: draw(periods()) for pair in pairs}
    state = State(codes, roles, grants)
    scopes = some.frozensets(some.sampled_from(usable), min_size=1, max_size=2)
    services = {name: draw(scopes) for name in ("s0", "s1")}
    active = {user: draw(some.integers(0, 5)) > 0 for user in USERS}
    return World(state, active, services, draw(changes(state, usable, kind)))


@some.composite
def periods(draw: some.DrawFn) -> tuple[int, Time]:
    start = draw(some.sampled_from(DAYS[:-1]))
    return start, draw(some.sampled_from([None, *(day for day in DAYS if day > start)]))


@some.composite
def changes(draw: some.DrawFn, state: State, usable: list[str], kind: str) -> Change:  # noqa: PLR0911
    name, user, code = (draw(some.sampled_from(names)) for names in (ROLES, USERS, CODES))
    role, roles, grants = state.roles[name], state.roles, state.grants
    patterns = draw(some.frozensets(some.sampled_from(usable), max_size=4))
    parents = draw(some.frozensets(some.sampled_from(ROLES), max_size=2))
    match kind:
        case "role" | "parents" | "both":
            new = Role(patterns if kind != "parents" else role.patterns, parents if kind != "role" else role.parents)
            body: Body = {"permissions": sorted(new.patterns), "parents": sorted(new.parents)}
            if kind != "both":
                del body["parents" if kind == "role" else "permissions"]
            no_cycle = kind == "role" or all(parent < name for parent in parents)
            after = replace(state, roles={**roles, name: new})
            return Change("PATCH", f"/roles/{name}", after, no_cycle, body)
        case "new":
            body = {"name": "r9", "title": "x", "permissions": sorted(patterns), "parents": sorted(parents)}
            after = replace(state, roles={**roles, "r9": Role(patterns, parents)})
            return Change("POST", "/roles", after, body=body)
        case "gone":
            left = {other: its for other, its in roles.items() if other != name}
            return Change("DELETE", f"/roles/{name}", replace(state, roles=left), sure=False)
        case "code":
            body = {"code": code, "title": "x", "step_up": draw(some.booleans())}
            after = replace(state, codes=state.codes | {code})
            return Change("POST", "/permissions", after, code not in state.codes, body)
        case "no code":
            return Change("DELETE", f"/permissions/{code}", replace(state, codes=state.codes - {code}), sure=False)
        case "grant":
            start, end = draw(periods())
            after = replace(state, grants={**grants, (user, name): (start, end)})
            dates = {"valid_from": start, "valid_until": end}
            return Change("PUT", f"/users/{user}/roles/{name}", after, body=dates)
        case "take":
            kept = {pair: period for pair, period in grants.items() if pair != (user, name)}
            after = replace(state, grants=kept)
            return Change("DELETE", f"/users/{user}/roles/{name}", after, (user, name) in grants)
        case _:
            more = draw(some.frozensets(some.sampled_from(CODES), max_size=2))
            changed = {
                other: Role(draw(some.frozensets(some.sampled_from(usable), max_size=3)), its.parents)
                for other, its in roles.items()
                if draw(some.booleans())
            }
            entries = {
                other: {"title": "x", "permissions": sorted(its.patterns), "parents": sorted(its.parents)}
                for other, its in changed.items()
            }
            after = replace(state, codes=state.codes | more, roles={**roles, **changed})
            file = {"permissions": {one: {"title": "x"} for one in more}, "roles": entries}
            return Change("PLAN", "", after, file=file)


@dataclass
class Names:
    """What the small names are in the database, and its moments."""

    now: datetime
    mark: str = field(default_factory=lambda: unique("w"))
    ids: dict[str, UUID] = field(default_factory=lambda: {user: new_id() for user in USERS})

    def login(self, user: str) -> str:
        return f"{self.mark}{user}"

    def role(self, name: str) -> str:
        return f"{self.mark}{name}"

    def pattern(self, pattern: str) -> str:
        return f"{self.mark}{pattern}"

    def at(self, day: float) -> datetime:
        return self.now + timedelta(days=day)

    def path(self, path: str) -> str:
        parts = path.split("/")
        for number, part in enumerate(parts):
            if part in self.ids:
                parts[number] = str(self.ids[part])
            elif part in ROLES:
                parts[number] = self.role(part)
            elif ":" in part:
                parts[number] = self.pattern(part)
        return "/".join(parts)

    def body(self, body: Body | None) -> Body | None:
        if body is None:
            return None
        found = dict(body)
        for key, name in (("permissions", self.pattern), ("parents", self.role)):
            if key in found:
                found[key] = [name(item) for item in found[key]]
        if "code" in found:
            found["code"] = self.pattern(found["code"])
        if "name" in found:
            found["name"] = self.role(found["name"])
        for key in ("valid_from", "valid_until"):
            if found.get(key) is not None:
                found[key] = self.at(found[key]).isoformat()
        return found

    def file(self, file: Body) -> Body:
        roles = {self.role(name): self.body(entry) for name, entry in file["roles"].items()}
        permissions = {self.pattern(code): entry for code, entry in file["permissions"].items()}
        return {"version": 1, "permissions": permissions, "roles": roles}


async def make(pool: Any, world: World, names: Names) -> None:
    """Straight into the tables: a world takes a dozen milliseconds."""
    state = world.state
    async with pool.acquire() as connection, connection.transaction():
        await _insert(connection, "permissions", [(names.pattern(code), "x") for code in state.codes], "code, title")
        await _insert(connection, "roles", [(names.role(name), "x") for name in state.roles], "name, title")
        own = [(names.role(n), names.pattern(p)) for n, role in state.roles.items() for p in role.patterns]
        await _insert(connection, "role_permissions", own, "role_name, pattern")
        links = [(names.role(n), names.role(p)) for n, role in state.roles.items() for p in role.parents]
        await _insert(connection, "role_parents", links, "role_name, parent_name")
        people = [
            (names.ids[user], *(names.login(user),) * 2, *(f"{names.login(user)}@a.example",) * 2, "x", active)
            for user, active in world.active.items()
        ]
        columns = "id, login, login_key, email, email_key, password_hash, is_active"
        await _insert(connection, "users", people, columns)
        grants = [
            (names.ids[user], names.role(role), names.at(start), None if end is None else names.at(end))
            for (user, role), (start, end) in state.grants.items()
        ]
        await _insert(connection, "user_roles", grants, "user_id, role_name, valid_from, valid_until")
        services = [
            (new_id(), names.role(name), "", [names.pattern(scope) for scope in scopes])
            for name, scopes in world.services.items()
        ]
        await _insert(connection, "service_accounts", services, "id, name, description, scopes")


async def _insert(connection: asyncpg.Connection, table: str, rows: Iterable[tuple[Any, ...]], columns: str) -> None:
    places = ", ".join(f"${number + 1}" for number in range(columns.count(",") + 1))
    await connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(rows))  # noqa: S608


Spans = set[tuple[str, Time, Time]]


def differences(one: State, other: State, user: str) -> Spans:
    """What the user has in `one` and not in `other`, from now on: (code, start or None for now, end)."""
    found: Spans = set()
    edges = [0, *(day for day in DAYS if day > 0)]
    for code in one.codes:
        begun: Time = None
        open_ = False
        for day in edges:
            differs = one.has(user, code, day) and not other.has(user, code, day)
            if differs and not open_:
                begun, open_ = (None if day == 0 else day), True
            elif open_ and not differs:
                found.add((code, begun, day))
                open_ = False
        if open_:
            found.add((code, begun, None))
    return found


def covers(scopes: Iterable[str], code: str) -> bool:
    return bool({code, f"{code.partition(':')[0]}:*"} & set(scopes))

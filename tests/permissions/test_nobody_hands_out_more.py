"""RBAC-1: nobody hands out what they do not hold, by any path; then some hundred random steps by random people."""

import asyncio
import os
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from auth_service.core.clock import utc_now
from auth_service.core.errors import PermissionDenied
from auth_service.core.principal import authenticate
from auth_service.locks import lock_access_rules
from auth_service.permissions.codes import OWN_CODES
from auth_service.roles.grants import grant_role
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment, put_grant, revoke, role_body, times
from tests.support.api import V1, Api, Tokens, error_of, unique

STEPS = int(os.environ.get("RBAC_STEPS", "300"))
SEED = int(os.environ.get("RBAC_SEED", "20260721"))
EXCEEDS = (403, "exceeds_own_permissions")


@dataclass(frozen=True)
class Scene:
    """A manager who may do everything with roles and services, but holds only `mine` of the cinema's permissions."""

    root: Tokens
    manager_id: UUID
    manager: Tokens
    mine: str
    not_mine: str


async def scene(api: Api) -> Scene:
    _, root = await api.as_role("superuser")
    mine, not_mine = await create_permission(api, root), await create_permission(api, root)
    tools = await create_role(api, root, "roles:*", "services:*", "permissions:*", mine)
    account, manager = await api.as_role()
    await grant(api, root, account.id, tools)
    return Scene(root, account.id, manager, mine, not_mine)


async def send(api: Api, actor: Tokens, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    return await api.http.request(method, f"{V1}{path}", json=body, headers=actor.bearer)


async def test_rbac_1_granting_a_role(api: Api) -> None:
    s = await scene(api)
    has, lacks = await create_role(api, s.root, s.mine), await create_role(api, s.root, s.mine, s.not_mine)
    child = await create_role(api, s.root, parents=(lacks,))
    other = await api.create_user()
    assert (await put_grant(api, s.manager, other.id, has)).status_code == 200
    for role in (lacks, child, "superuser", "admin"):
        for user_id in (other.id, s.manager_id):
            assert error_of(await put_grant(api, s.manager, user_id, role)) == EXCEEDS
            later = await put_grant(api, s.manager, user_id, role, valid_from=moment(days=1))
            assert error_of(later) == EXCEEDS


async def test_rbac_1_changing_dates_and_revoking(api: Api) -> None:
    """Nor does anyone strip those above them."""
    s = await scene(api)
    lacks = await create_role(api, s.root, s.not_mine)
    other = await api.create_user(lacks)
    assert error_of(await put_grant(api, s.manager, other.id, lacks, valid_until=moment(days=1))) == EXCEEDS
    assert error_of(await revoke(api, s.manager, other.id, lacks)) == EXCEEDS


async def test_rbac_1_making_a_role(api: Api) -> None:
    s = await scene(api)
    resource = s.mine.partition(":")[0]
    lacks = await create_role(api, s.root, s.not_mine)
    child = await create_role(api, s.root, parents=(lacks,))
    for body in (
        role_body(s.not_mine),
        role_body(s.mine, s.not_mine),
        role_body(f"{resource}:*"),  # holding one action is not holding all, and all that will come
        role_body(parents=(lacks,)),
        role_body(s.mine, parents=("guest", child)),
        role_body(parents=("superuser",)),
    ):
        assert error_of(await send(api, s.manager, "POST", "/roles", body)) == EXCEEDS
        assert (await send(api, s.root, "GET", f"/roles/{body['name']}")).status_code == 404
    assert (await send(api, s.manager, "POST", "/roles", role_body(s.mine, parents=("guest",)))).status_code == 201


async def test_rbac_1_editing_a_role(api: Api) -> None:
    s = await scene(api)
    lacks = await create_role(api, s.root, s.not_mine)
    own = await create_role(api, s.manager, s.mine)
    changes: list[dict[str, Any]] = [
        {"permissions": [s.not_mine]},
        {"permissions": [s.mine, s.not_mine]},
        {"parents": [lacks]},
        {"parents": ["superuser"]},
        {"permissions": [], "parents": ["admin"]},
    ]
    for change in changes:
        assert error_of(await send(api, s.manager, "PATCH", f"/roles/{own}", change)) == EXCEEDS
    assert (await send(api, s.root, "GET", f"/roles/{own}")).json()["permissions"] == [s.mine]


async def test_rbac_1_roles_above_oneself_are_not_ones_to_edit(api: Api) -> None:
    s = await scene(api)
    lacks = await create_role(api, s.root, s.not_mine)
    child = await create_role(api, s.root, parents=(lacks,))
    for role in (lacks, child):
        changes: list[dict[str, Any]] = [
            {"title": "x"},
            {"permissions": []},
            {"parents": []},
            {"permissions": [s.mine]},
        ]
        for change in changes:
            assert error_of(await send(api, s.manager, "PATCH", f"/roles/{role}", change)) == EXCEEDS
        assert error_of(await send(api, s.manager, "DELETE", f"/roles/{role}")) == EXCEEDS


async def test_rbac_1_service_scopes_and_secrets(api: Api) -> None:
    s = await scene(api)
    for scopes in ([s.not_mine], [s.mine, s.not_mine], ["films:*"], ["users:write"]):
        body = {"name": unique("service"), "scopes": scopes}
        assert error_of(await send(api, s.manager, "POST", "/services", body)) == EXCEEDS
    strong, _ = await api.create_service(s.root, [s.not_mine])
    # A new secret of a strong account is a way to its scopes; deleting it is stripping it of them.
    assert error_of(await send(api, s.manager, "POST", f"/services/{strong}/secrets", {})) == EXCEEDS
    assert error_of(await send(api, s.manager, "DELETE", f"/services/{strong}")) == EXCEEDS
    weak, _ = await api.create_service(s.manager, [s.mine])
    assert (await send(api, s.manager, "POST", f"/services/{weak}/secrets", {})).status_code == 201


async def test_rbac_1_nothing_outlasts_the_giver(api: Api) -> None:
    """Who is an administrator until the day after tomorrow makes nothing that lasts longer, for nobody, by no path."""
    s = await scene(api)
    role = await create_role(api, s.root, s.mine)
    tools = await create_role(api, s.root, "roles:*", "services:*", s.mine)
    account, temporary = await api.as_role()
    await grant(api, s.root, account.id, tools, valid_until=moment(days=2))
    other = await api.create_user()
    for user_id, name in ((account.id, tools), (account.id, role), (other.id, role)):
        for until in ({}, {"valid_until": moment(days=3)}):
            assert error_of(await put_grant(api, temporary, user_id, name, **until)) == EXCEEDS
    for user_id in (account.id, other.id):
        assert (await put_grant(api, temporary, user_id, role, valid_until=moment(days=1))).status_code == 200
    for path, body in (
        ("/roles", role_body(s.mine)),
        ("/services", {"name": unique("service"), "scopes": [s.mine]}),
    ):
        assert error_of(await send(api, temporary, "POST", path, body)) == EXCEEDS
    assert error_of(await send(api, temporary, "PATCH", f"/roles/{role}", {"permissions": [s.mine]})) == EXCEEDS
    assert (await send(api, temporary, "PATCH", f"/roles/{role}", {"title": "New"})).status_code == 200
    assert (await revoke(api, temporary, other.id, role)).status_code == 204


async def test_rbac_1_a_temporary_admin_makes_no_secret_of_a_service(api: Api) -> None:
    """What is done with its tokens has no end, so not even a secret that expires in time is theirs to make."""
    s = await scene(api)
    service_id, _ = await api.create_service(s.root, [s.mine])
    tools = await create_role(api, s.root, "services:*", s.mine)
    account, temporary = await api.as_role()
    await grant(api, s.root, account.id, tools, valid_until=moment(days=2))
    for body in ({}, {"expires_at": moment(hours=1).isoformat()}):
        assert error_of(await send(api, temporary, "POST", f"/services/{service_id}/secrets", body)) == EXCEEDS


async def test_rbac_1_deleting_a_permission_takes_it_from_everyone_so_it_must_be_held(api: Api) -> None:
    s = await scene(api)
    assert (await api.check(s.root, s.not_mine))["allowed"] is True
    assert error_of(await send(api, s.manager, "DELETE", f"/permissions/{s.not_mine}")) == EXCEEDS
    assert (await api.check(s.root, s.not_mine))["allowed"] is True
    assert (await send(api, s.manager, "DELETE", f"/permissions/{s.mine}")).status_code == 409
    spare = await create_permission(api, s.root)
    assert (await send(api, s.root, "DELETE", f"/permissions/{spare}")).status_code == 204


@pytest.mark.parametrize("code", sorted(OWN_CODES))
async def test_rbac_2_what_our_own_routes_ask_for_stays_in_the_catalogue(api: Api, code: str) -> None:
    _, root = await api.as_role("superuser")
    assert error_of(await send(api, root, "DELETE", f"/permissions/{code}")) == (409, "permission_built_in")
    assert (await api.check(root, code))["allowed"] is True


async def test_rbac_1_a_right_lost_while_waiting_for_the_lock_is_lost(fresh: Fresh) -> None:
    """The route let the request in; what counts is what the caller holds when the change is made."""
    api = await fresh.api()
    _, root = await api.as_role("superuser")
    role = await create_role(api, root, "reviews:write")
    granter = await create_role(api, root, "roles:grant", "reviews:write")
    keeps = await create_role(api, root, "reviews:write")
    account, tokens = await api.as_role()
    await grant(api, root, account.id, granter)
    await grant(api, root, account.id, keeps)
    other = await api.create_user()
    async with api.resources.db.begin() as session:
        await lock_access_rules(session)
        waiting = asyncio.create_task(put_grant(api, tokens, other.id, role))
        await asyncio.sleep(0.3)
        await session.execute(
            text("DELETE FROM user_roles WHERE user_id = :user AND role_name = :role"),
            {"user": account.id, "role": granter},
        )
    assert error_of(await waiting) == (403, "permission_denied")


async def test_rbac_1_services_are_bound_by_the_scopes_of_their_token(api: Api) -> None:
    s = await scene(api)
    other = await api.create_user()
    has, lacks = await create_role(api, s.root, s.mine), await create_role(api, s.root, s.not_mine)
    client = await api.create_service(s.root, ["roles:*", s.mine, s.not_mine])
    narrowed = await api.http.post(
        f"{V1}/auth/token",
        auth=client,
        data={"grant_type": "client_credentials", "scope": f"roles:grant {s.mine}"},
    )
    headers = {"Authorization": f"Bearer {narrowed.json()['access_token']}"}
    granted = await api.http.put(f"{V1}/users/{other.id}/roles/{has}", json={}, headers=headers)
    assert (granted.status_code, granted.json()["granted_by"]) == (200, None)
    refused = await api.http.put(f"{V1}/users/{other.id}/roles/{lacks}", json={}, headers=headers)
    assert error_of(refused) == EXCEEDS
    assert error_of(await api.http.post(f"{V1}/roles", json=role_body(s.mine), headers=headers))[0] == 403


async def test_rbac_1_a_service_deleted_meanwhile_hands_out_nothing(api: Api) -> None:
    """Its request was let in before the deletion, and takes its turn after it."""
    s = await scene(api)
    other = await api.create_user()
    client_id, secret = await api.create_service(s.root, ["roles:*", s.mine])
    headers = await api.service_token(client_id, secret)
    let_in = await authenticate(api.resources, headers["Authorization"].removeprefix("Bearer "))
    assert (await send(api, s.root, "DELETE", f"/services/{client_id}")).status_code == 204
    role = await create_role(api, s.root, s.mine)
    with pytest.raises(PermissionDenied):
        await grant_role(api.resources, let_in, other.id, role)


async def test_rbac_1_what_was_taken_away_counts_at_once(api: Api) -> None:
    s = await scene(api)
    extra = await create_role(api, s.root, s.not_mine)
    other = await api.create_user()
    await grant(api, s.root, s.manager_id, extra, valid_until=moment(days=1))
    assert (await put_grant(api, s.manager, other.id, extra, valid_until=moment(hours=1))).status_code == 200
    await grant(api, s.root, s.manager_id, extra, valid_from=moment(days=-2), valid_until=moment(seconds=-1))
    assert error_of(await put_grant(api, s.manager, other.id, extra, valid_until=moment(hours=1))) == EXCEEDS
    await grant(api, s.root, s.manager_id, extra, valid_from=moment(days=1))
    assert error_of(await put_grant(api, s.manager, other.id, extra, valid_until=moment(hours=1))) == EXCEEDS


# --- The random run. What everyone has is worked out here, from the rows, by code of its own. ---


def gives(held: set[str], pattern: str) -> bool:
    return "*" in held or pattern in held or f"{pattern.split(':', maxsplit=1)[0]}:*" in held


@dataclass(frozen=True)
class World:
    """`now`: what each user has at this moment; `ever`: with grants that are still to begin; `services`: scopes."""

    now: dict[UUID, set[str]]
    ever: dict[UUID, set[str]]
    services: dict[UUID, set[str]]
    secrets: dict[UUID, set[UUID]]


async def look(api: Api) -> World:
    hot = api.resources.hot
    own, parents = defaultdict(set), defaultdict(set)
    for row in await hot.fetch("SELECT role_name, pattern FROM role_permissions"):
        own[row["role_name"]].add(row["pattern"])
    for row in await hot.fetch("SELECT role_name, parent_name FROM role_parents"):
        parents[row["role_name"]].add(row["parent_name"])

    def all_of(role: str) -> set[str]:
        return own[role].union(*(all_of(parent) for parent in parents[role]))

    moment_of_look: datetime = utc_now()
    now: dict[UUID, set[str]] = defaultdict(set)
    ever: dict[UUID, set[str]] = defaultdict(set)
    for row in await hot.fetch("SELECT user_id, role_name, valid_from, valid_until FROM user_roles"):
        if row["valid_until"] is None or row["valid_until"] > moment_of_look:
            ever[row["user_id"]] |= all_of(row["role_name"])
            if row["valid_from"] <= moment_of_look:
                now[row["user_id"]] |= all_of(row["role_name"])
    services = {row["id"]: set(row["scopes"]) for row in await hot.fetch("SELECT id, scopes FROM service_accounts")}
    secrets: dict[UUID, set[UUID]] = defaultdict(set)
    for row in await hot.fetch("SELECT id, service_id FROM service_secrets"):
        secrets[row["service_id"]].add(row["id"])
    return World(now, ever, services, secrets)


def handed_out(before: World, after: World) -> set[str]:
    """Every pattern that somebody has, or will have, and had not before; a new secret hands out all its scopes."""
    gained = {
        pattern
        for user, patterns in after.ever.items()
        for pattern in patterns
        if not gives(before.ever.get(user, set()), pattern)
    }
    for service, scopes in after.services.items():
        if not after.secrets[service] <= before.secrets.get(service, set()):
            gained |= scopes
    return gained


@dataclass
class Player:
    name: str
    headers: dict[str, str]
    user_id: UUID | None = None
    scopes: frozenset[str] = frozenset()

    def held(self, world: World) -> set[str]:
        return set(self.scopes) if self.user_id is None else world.now.get(self.user_id, set())


class Game:
    """Random moves; most are refused, and what is not refused is judged."""

    def __init__(self, api: Api, chance: random.Random, players: list[Player], patterns: list[str]) -> None:
        self.api = api
        self.chance = chance
        self.players = players
        self.patterns = patterns
        self.users = [player.user_id for player in players if player.user_id is not None]
        self.roles = ["guest", "viewer", "subscriber", "moderator", "content-manager", "admin", "superuser"]
        self.services: list[str] = []
        self.outcomes: Counter[tuple[str, int]] = Counter()

    def some(self, items: list[str], most: int) -> list[str]:
        return self.chance.sample(items, k=min(len(items), self.chance.randint(0, most)))

    def dates(self) -> dict[str, str]:
        return self.chance.choice(
            [
                {},
                {},
                times(valid_until=moment(days=1)),
                times(valid_from=moment(days=1)),
                times(valid_from=moment(days=1), valid_until=moment(days=2)),
                times(valid_from=moment(days=-2), valid_until=moment(days=-1)),
            ]
        )

    def move(self) -> tuple[str, str, dict[str, Any] | None]:
        role, user = self.chance.choice(self.roles), self.chance.choice(self.users)
        service = self.chance.choice(self.services) if self.services else str(user)
        permissions, parents = self.some(self.patterns, 3), self.some(self.roles, 2)
        code = self.chance.choice(self.patterns)
        moves: list[tuple[str, str, dict[str, Any] | None]] = [
            ("PUT", f"/users/{user}/roles/{role}", self.dates()),
            ("PUT", f"/users/{user}/roles/{role}", self.dates()),
            ("DELETE", f"/users/{user}/roles/{role}", None),
            ("POST", "/roles", role_body(*permissions, parents=tuple(parents))),
            ("PATCH", f"/roles/{role}", {"permissions": permissions}),
            ("PATCH", f"/roles/{role}", {"parents": parents}),
            ("PATCH", f"/roles/{role}", {"permissions": permissions, "parents": parents}),
            ("DELETE", f"/roles/{role}", None),
            ("POST", "/services", {"name": unique("service"), "scopes": permissions}),
            ("POST", f"/services/{service}/secrets", {}),
            ("DELETE", f"/services/{service}", None),
            ("POST", "/permissions", {"code": code.replace("*", "new"), "title": "x"}),
            ("DELETE", f"/permissions/{code.replace('*', 'new')}", None),
        ]
        return self.chance.choice(moves)

    async def step(self, before: World) -> World:
        player = self.chance.choice(self.players)
        method, path, body = self.move()
        response = await self.api.http.request(method, f"{V1}{path}", json=body, headers=player.headers)
        assert response.status_code < 500, (method, path, body, response.text)
        self.outcomes[(method, response.status_code)] += 1
        after = await look(self.api)
        extra = {pattern for pattern in handed_out(before, after) if not gives(player.held(before), pattern)}
        story = f"{player.name} ({sorted(player.held(before))}): {method} {path} {body} -> {response.status_code}"
        assert not extra, f"{story} handed out {sorted(extra)}"
        if response.status_code >= 400:
            assert after.ever == before.ever, story
            assert after.secrets == before.secrets, story
        elif method == "POST" and path == "/roles":
            self.roles.append(response.json()["name"])
        elif method == "POST" and path == "/services":
            self.services.append(response.json()["client_id"])
        elif method == "DELETE" and path.startswith("/roles/"):
            self.roles.remove(path.removeprefix("/roles/"))
        elif method == "DELETE" and path.startswith("/services/"):
            self.services.remove(path.removeprefix("/services/"))
        return after


@pytest.mark.long
async def test_rbac_1_random_people_and_random_steps(fresh: Fresh) -> None:
    api = await fresh.api()
    chance = random.Random(SEED)
    root_account, root = await api.as_role("superuser")
    patterns = ["films:read", "films:*", "films:publish", "reviews:*", "reviews:write", "payments:refund", "users:read"]
    patterns += ["roles:read", "roles:grant", "roles:*", "services:*", "permissions:check", "permissions:write"]
    tools = {
        "granter": ["roles:grant", "films:*"],
        "writer": ["roles:*", "reviews:*"],
        "servant": ["services:*", "permissions:*", "films:read"],
        "both": ["roles:*", "services:*", "permissions:*", "payments:*"],
    }
    players = [Player("root", root.bearer, root_account.id)]
    for name, held in tools.items():
        role = await create_role(api, root, *held, name=name)
        account, tokens = await api.as_role()
        await grant(api, root, account.id, role)
        players.append(Player(name, tokens.bearer, account.id))
    for role in ("admin", "moderator", "viewer"):
        account, tokens = await api.as_role(role)
        players.append(Player(role, tokens.bearer, account.id))
    scopes = ["roles:*", "services:*", "films:read"]
    client = await api.create_service(root, scopes)
    players.append(Player("service", await api.service_token(*client), scopes=frozenset(scopes)))
    game = Game(api, chance, players, patterns)
    world = await look(api)
    for _ in range(STEPS):
        world = await game.step(world)
    refused = sum(count for (_, status), count in game.outcomes.items() if status == 403)
    done = sum(count for (_, status), count in game.outcomes.items() if status < 300)
    assert min(refused, done) > STEPS // 20, game.outcomes  # both happened: the run means something

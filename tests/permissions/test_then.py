"""Then as well as now: random histories over HTTP, of which every moment is asked about afterwards."""

import os
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from auth_service.permissions.patterns import covers
from tests.conftest import Fresh
from tests.support.access_model import World, read_world
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, error_of, unique

OURS = ("films:rate", "films:score", "extras:see")
ROLES = ("critic", "judge", "patron")
HISTORIES = int(os.environ.get("HISTORIES", "2"))


@dataclass
class History:
    """Acts as a superuser does them, and the world as it was after each; the clock stands still in between."""

    api: Api
    clock: StoppedClock
    root: Tokens
    dice: random.Random
    world: World
    users: list[str] = field(default_factory=list)
    states: list[tuple[datetime, World]] = field(default_factory=list)
    rows: list[tuple[World, World, datetime]] = field(default_factory=list)  # each act's, before and after

    async def call(self, method: str, path: str, body: Any = None) -> bool:
        """Whether it was done; what the rules refuse is no step."""
        answer = await self.api.http.request(method, f"{V1}{path}", json=body, headers=self.root.bearer)
        assert answer.status_code in {200, 201, 204, 404, 409, 422}, answer.text
        return answer.is_success

    async def register(self) -> None:
        self.clock.forward(seconds=2)
        login = unique("person")
        body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
        user = str((await self.api.http.post(f"{V1}/auth/register", json=body)).json()["id"])
        self.users.append(user)
        self.world.active[user] = True
        self.world.grants[user, "viewer"] = (self.clock(), None)
        self.remember()

    def remember(self) -> None:
        self.states.append((self.clock(), self.world.copy()))

    async def step(self) -> None:
        self.clock.forward(seconds=self.dice.randint(1, 9))
        before = self.world.copy()
        kinds = [self.grant] * 6 + [self.revoke] * 3 + [self.role] * 4 + [self.drop_role] * 2
        kinds += [self.permission, self.mark, self.drop_permission, self.switch, self.switch]
        if await self.dice.choice(kinds)():
            self.rows.append((before, self.world.copy(), self.clock()))
        self.remember()

    def _role(self) -> str:
        return self.dice.choice([*ROLES, *ROLES, "viewer", "moderator"])

    async def grant(self) -> bool:
        user, role, now = self.dice.choice(self.users), self._role(), self.clock()
        begins = now + timedelta(seconds=self.dice.choice([-20, 0, 0, 15, 30]))
        ends = self.dice.choice([None, begins + timedelta(seconds=self.dice.randint(5, 60))])
        dates = {"valid_from": begins.isoformat(), "valid_until": None if ends is None else ends.isoformat()}
        if not await self.call("PUT", f"/users/{user}/roles/{role}", dates):
            return False
        self.world.grants[user, role] = (begins, ends)
        return True

    async def revoke(self) -> bool:
        user, role = self.dice.choice(self.users), self._role()
        if not await self.call("DELETE", f"/users/{user}/roles/{role}"):
            return False
        del self.world.grants[user, role]
        return True

    async def role(self) -> bool:
        name = self.dice.choice(ROLES)
        known = [code for code in OURS if code in self.world.codes]
        patterns = self.dice.sample([*known, "films:*", "reviews:delete"], self.dice.randint(0, 2))
        parents = [role for role in self.dice.sample([*ROLES, "moderator"], self.dice.randint(0, 2)) if role != name]
        body = {"title": unique("title"), "permissions": patterns, "parents": parents}
        how = ("PATCH", f"/roles/{name}") if name in self.world.roles else ("POST", "/roles")
        if not await self.call(*how, body if how[0] == "PATCH" else body | {"name": name}):
            return False
        self.world.roles[name] = (frozenset(patterns), frozenset(parents))
        return True

    async def drop_role(self) -> bool:
        name = self.dice.choice(ROLES)
        if not await self.call("DELETE", f"/roles/{name}"):
            return False
        del self.world.roles[name]
        return True

    async def permission(self) -> bool:
        code = self.dice.choice(OURS)
        if not await self.call("POST", "/permissions", {"code": code, "title": "x"}):
            return False
        self.world.codes[code] = False
        return True

    async def mark(self) -> bool:
        code, marked = self.dice.choice(OURS), self.dice.random() < 0.5
        if not await self.call("PATCH", f"/permissions/{code}", {"step_up": marked}):
            return False
        self.world.codes[code] = marked
        return True

    async def drop_permission(self) -> bool:
        code = self.dice.choice(OURS)
        if not await self.call("DELETE", f"/permissions/{code}"):
            return False
        del self.world.codes[code]
        return True

    async def switch(self) -> bool:
        user = self.dice.choice(self.users)
        active = not self.world.active[user]
        if not await self.call("PATCH", f"/admin/users/{user}", {"is_active": active, "reason": "a test"}):
            return False
        self.world.active[user] = active
        return True

    async def read(self, path: str, **query: str) -> Any:
        answer = await self.api.http.get(f"{V1}{path}", headers=self.root.bearer, params=query)
        assert answer.status_code == 200, (path, query, answer.text)
        return answer.json()


async def began(fresh: Fresh, seed: int) -> History:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, root = await api.as_role("superuser")
    clock.forward(seconds=5)
    history = History(api, clock, root, random.Random(seed), await read_world(api, root))
    # The first row of the trail, from which on the past is known.
    assert await history.call("PATCH", "/permissions/films:read", {"title": "See films"})
    history.rows.append((history.world.copy(), history.world.copy(), clock()))
    for _ in range(3):
        await history.register()
    return history


async def lived(fresh: Fresh, seed: int, steps: int) -> History:
    history = await began(fresh, seed)
    for number in range(steps):
        await history.step()
        if number == steps // 2:
            await history.register()
    history.clock.forward(seconds=100)
    return history


def moments(history: History, most: int) -> list[tuple[datetime, World]]:
    """Of each state the first moment and one of between the steps, when only time has passed."""
    found = [(at + timedelta(seconds=later), world) for at, world in history.states for later in (0, 0.5)]
    return history.dice.sample(found, min(most, len(found)))


async def ask_of_the_past(history: History, most: int) -> None:
    for at, world in moments(history, most):
        then = at.isoformat()
        for user in history.users:
            found = await history.read(f"/users/{user}/permissions", at=then)
            assert {item["permission"] for item in found["permissions"]} == world.held(user, at), (user, then)
        user = history.dice.choice(history.users)
        for code in (*OURS, "films:watch", "reviews:delete"):
            why = await history.read(f"/users/{user}/permissions/{code}", at=then)
            assert why["reason"] == world.reason(user, code, at), (user, code, then)
            assert why["allowed"] is (why["obstacles"] == []) is (why["reason"] == "granted")
            if world.active.get(user):
                assert (why["path"] is not None) is covers(world.held(user, at), code)
        code = history.dice.choice([*OURS, "films:create", "reviews:delete"])
        if code in world.codes:
            found = await history.read(f"/permissions/{code}/users", at=then, limit="100")
            assert {item["id"] for item in found["items"]} & set(history.users) == world.holders(code, at), (code, then)


async def ask_of_the_rows(history: History) -> None:
    people = set(history.users)
    for number, (before, after, at) in enumerate(history.rows, start=1):
        told = await history.read(f"/admin/audit/{number}/people", limit="100")
        assert datetime.fromisoformat(told["at"]) == at
        gained = {p["id"]: {s["permission"] for s in p["gains"] if s["from"] is None} for p in told["people"]}
        lost = {p["id"]: {s["permission"] for s in p["loses"] if s["from"] is None} for p in told["people"]}
        for user in people:
            had, has = before.has(user, at), after.has(user, at)
            assert (gained.get(user, set()), lost.get(user, set())) == (has - had, had - has), (number, told)


@pytest.mark.parametrize("seed", [1])
async def test_every_moment_of_a_history_is_answered_as_it_was(fresh: Fresh, seed: int) -> None:
    history = await lived(fresh, seed, 30)
    await ask_of_the_past(history, 12)
    await ask_of_the_rows(history)


@pytest.mark.long
async def test_every_moment_of_many_histories_is_answered_as_it_was(fresh: Fresh) -> None:
    for seed in range(10, 10 + HISTORIES):
        history = await lived(fresh, seed, 50)
        await ask_of_the_past(history, 40)
        await ask_of_the_rows(history)


# --- what is not known ---


async def test_before_the_first_row_nothing_is_guessed(fresh: Fresh) -> None:
    history = await began(fresh, 0)
    user, first = history.users[0], history.rows[0][2]
    history.clock.forward(seconds=10)
    for path in (
        f"/users/{user}/permissions",
        f"/users/{user}/permissions/films:read",
        "/permissions/films:read/users",
    ):
        url, early = f"{V1}{path}", (first - timedelta(seconds=1)).isoformat()
        refused = await history.api.http.get(url, params={"at": early}, headers=history.root.bearer)
        assert error_of(refused) == (409, "not_known_then")
        assert first.isoformat() in refused.json()["detail"], "it says since when"
        assert await history.read(path, at=first.isoformat())


async def test_what_a_restore_lost_is_not_known(fresh: Fresh) -> None:
    history = await began(fresh, 0)
    user, before = history.users[0], history.rows[0][2]
    history.clock.now = before + timedelta(seconds=60)
    await history.api.resources.hot.execute(
        "INSERT INTO audit_log (id, at, actor_kind, actor_id, action, target_kind, hash)"
        " VALUES (2, $1, 'operator', 'x', 'database.restored', 'database', '')",
        history.clock(),
    )
    history.clock.forward(seconds=60)
    for seconds, expected in ((0, 200), (30, 409), (60, 200), (90, 200)):
        at = (before + timedelta(seconds=seconds)).isoformat()
        url = f"{V1}/users/{user}/permissions"
        answer = await history.api.http.get(url, params={"at": at}, headers=history.root.bearer)
        assert answer.status_code == expected, (seconds, answer.text)


async def test_the_coming_is_judged_by_grants_as_they_stand(api: Api) -> None:
    _, root = await api.as_role("superuser")
    account, tokens = await api.as_role()
    dates = {"valid_from": "2090-01-01T00:00:00Z", "valid_until": "2091-01-01T00:00:00Z"}
    url = f"{V1}/users/{account.id}/roles/subscriber"
    assert (await api.http.put(url, json=dates, headers=root.bearer)).status_code == 200
    for at, reason in (("2089-12-31T23:59:59Z", "grant_not_started"), ("2090-01-01T00:00:00Z", "granted")):
        answer = await api.http.get(f"{V1}/users/me/permissions", headers=tokens.bearer)
        assert error_of(answer)[0] in {403, 404}, "me is no name"
        why = await about(api, tokens, account, "films:watch", at=at)
        assert why["reason"] == reason
        held = await api.http.get(f"{V1}/users/{account.id}/permissions", params={"at": at}, headers=tokens.bearer)
        assert ("films:watch" in {item["permission"] for item in held.json()["permissions"]}) is (reason == "granted")


async def about(api: Api, asker: Tokens, account: Account, code: str, **query: str) -> dict[str, Any]:
    url = f"{V1}/users/{account.id}/permissions/{code}"
    answer = await api.http.get(url, params=query, headers=asker.bearer)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_misspelt_moment_is_not_answered_of_now(api: Api) -> None:
    account, tokens = await api.as_role()
    for query in ("att=2030-01-01T00:00:00Z", "at=yesterday", "at=2030-01-01T00:00:00"):
        url = f"{V1}/users/{account.id}/permissions?{query}"
        assert error_of(await api.http.get(url, headers=tokens.bearer)) == (422, "validation_error"), query

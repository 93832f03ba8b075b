"""RBAC-2: no change of access leaves nobody who can undo it; the rule itself, and then every way to break it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from auth_service.core.errors import WouldShutOut
from auth_service.mfa.service import reset
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.keepers import UNDOING, UNMARK, Keeper, Keepers
from auth_service.roles.grants import grant_role, revoke_role
from auth_service.users.service import delete_user, set_active
from tests.conftest import Fresh
from tests.support.access import access_rules_locked, create_role, grant, moment, put_grant, revoke
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, tokens_of
from tests.support.command import Command
from tests.support.viewer import Viewer, Watch, enrol, set_up

SHUT_OUT = (409, "would_shut_out")
EVERYTHING = frozenset({"*"})
ADMIN = frozenset({"users:*", "roles:*", "permissions:*", "films:*"})


# --- the rule


def keepers(*accounts: tuple[frozenset[str], bool], marked: set[str] = set(), admin_mfa: bool = False) -> Keepers:  # noqa: B006
    return Keepers([Keeper(*account) for account in accounts], frozenset(marked), admin_mfa)


ROOT, ROOT_MFA, BOSS, BOSS_MFA = (EVERYTHING, False), (EVERYTHING, True), (ADMIN, False), (ADMIN, True)
CATALOGUE, PEOPLE = (frozenset({"permissions:write"}), True), (frozenset({"roles:*", "users:*", "films:*"}), False)


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        pytest.param(keepers(ROOT), keepers(ROOT), True, id="nothing changes"),
        pytest.param(keepers(ROOT), keepers(), False, id="nobody is left"),
        pytest.param(keepers(), keepers(), True, id="there was nobody"),
        pytest.param(keepers(ROOT), keepers(BOSS), False, id="somebody is left who can do less"),
        pytest.param(keepers(BOSS), keepers(ROOT), True, id="somebody is left who can do more"),
        pytest.param(keepers(BOSS), keepers(CATALOGUE, PEOPLE), False, id="two who can do as much together only"),
        pytest.param(keepers(ROOT), keepers(ROOT, marked={UNMARK}), False, id="a mark that nobody can take off"),
        pytest.param(keepers(ROOT), keepers(ROOT_MFA, marked={UNMARK}), True, id="one who can"),
        pytest.param(keepers(ROOT), keepers(ROOT, BOSS_MFA, marked={UNMARK}), True, id="another who can"),
        pytest.param(
            keepers(ROOT), keepers(ROOT, CATALOGUE, marked={UNMARK, "roles:write"}), True, id="one mark, then the next"
        ),
        pytest.param(
            keepers(ROOT),
            keepers(ROOT, (frozenset({"films:*"}), True), marked={UNMARK}),
            False,
            id="a second factor of somebody else",
        ),
        pytest.param(keepers(ROOT), keepers(ROOT, marked={"roles:write", "users:write"}), True, id="marks that can go"),
        pytest.param(keepers(ROOT, admin_mfa=True), keepers(admin_mfa=True), True, id="who could use nothing"),
        pytest.param(keepers(ROOT_MFA, admin_mfa=True), keepers(ROOT, admin_mfa=True), False, id="in production"),
        pytest.param(
            keepers(ROOT_MFA, admin_mfa=True),
            keepers(ROOT, BOSS_MFA, admin_mfa=True),
            False,
            id="in production, somebody who can do less",
        ),
    ],
)
def test_rbac_2_of_everyone_who_could_undo_somebody_is_left(before: Keepers, after: Keepers, allowed: bool) -> None:
    assert after.do_as_much_as(before) is allowed


# --- the ways


async def mark(api: Api, actor: Tokens, code: str, step_up: bool = True) -> httpx.Response:
    return await api.http.patch(f"{V1}/permissions/{code}", json={"step_up": step_up}, headers=actor.bearer)


async def marks(api: Api) -> list[str]:
    return [row["code"] for row in await api.resources.hot.fetch("SELECT code FROM permissions WHERE step_up")]


@pytest.mark.parametrize("role", ["superuser", "admin"])
async def test_rbac_2_a_mark_that_nobody_could_take_off_is_refused(fresh: Fresh, role: str) -> None:
    api = await fresh.api()
    _, root = await api.as_role("superuser")
    _, actor = await api.as_role(role)
    refused = await mark(api, actor, UNMARK)
    assert error_of(refused) == SHUT_OUT
    assert "set one up" in refused.json()["detail"]
    assert await marks(api) == []
    for code in [*UNDOING[1:], "roles:read", "films:watch", "webhooks:write"]:
        by = root if code == "webhooks:write" else actor
        assert (await mark(api, by, code)).status_code == 200, code
    # With all others marked too.
    assert error_of(await mark(api, actor, UNMARK)) == SHUT_OUT
    for code in await marks(api):
        assert (await mark(api, root, code, False)).status_code == 200, code


@dataclass
class Desk:
    """One superuser with a second factor, another without; administration asks for one."""

    api: Api
    first: Viewer
    other: Account
    other_tokens: Tokens

    async def delete_oneself(self) -> httpx.Response:
        return await self.first.send("DELETE", "/users/me", current_password=PASSWORD)

    async def give_up_the_second_factor(self) -> httpx.Response:
        self.first.watch.turn()
        return await self.first.send("DELETE", "/mfa/totp", current_password=PASSWORD, code=self.first.code())


async def desk(fresh: Fresh, kind: str) -> Desk:
    watch = Watch()
    api = await fresh.api(watch, admin_mfa=kind == "production")
    first = await enrol(api, watch, "superuser")
    other, other_tokens = await api.as_role("superuser")
    if kind == "marked":
        assert (await mark(api, first.tokens, UNMARK)).status_code == 200
    return Desk(api, first, other, other_tokens)


OWN_WAYS: dict[str, Callable[[Desk], Awaitable[httpx.Response]]] = {
    "the second factor": Desk.give_up_the_second_factor,
    "the account": Desk.delete_oneself,
    "the role": lambda d: revoke(d.api, d.first.tokens, d.first.account.id, "superuser"),
    "an end": lambda d: put_grant(d.api, d.first.tokens, d.first.account.id, "superuser", valid_until=moment(days=365)),
    "a later start": lambda d: put_grant(
        d.api, d.first.tokens, d.first.account.id, "superuser", valid_from=moment(hours=1)
    ),
}


@pytest.mark.parametrize("kind", ["marked", "production"])
async def test_rbac_2_the_last_one_with_a_second_factor_gives_up_nothing(fresh: Fresh, kind: str) -> None:
    d = await desk(fresh, kind)
    for name, way in OWN_WAYS.items():
        assert error_of(await way(d)) == SHUT_OUT, name
        assert (await d.api.me(d.first.tokens)).status_code == 200, name
    if kind == "marked":
        return
    # Once another one has a second factor too, all of it goes.
    second = await enrol(d.api, d.first.watch, "superuser")
    assert (await d.give_up_the_second_factor()).status_code == 204
    d.first = second
    for name, way in OWN_WAYS.items():
        assert error_of(await way(d)) == SHUT_OUT, name


@pytest.mark.parametrize("kind", ["marked", "production"])
async def test_rbac_2_nor_does_anybody_else_take_it(fresh: Fresh, kind: str) -> None:
    d = await desk(fresh, kind)
    resources, first = d.api.resources, d.first.account.id
    path = f"{V1}/admin/users/{first}"
    if kind == "marked":  # in production the other one could do none of this
        answers = [
            await d.api.http.patch(path, json={"is_active": False, "reason": "gone"}, headers=d.other_tokens.bearer),
            await d.api.http.request("DELETE", path, json={"reason": "gone"}, headers=d.other_tokens.bearer),
            await d.api.http.post(f"{path}/reset-mfa", json={"reason": "lost"}, headers=d.other_tokens.bearer),
            await revoke(d.api, d.other_tokens, first, "superuser"),
        ]
        assert [error_of(answer) for answer in answers] == [SHUT_OUT] * 4
    ways: list[Callable[[], Awaitable[object]]] = [
        lambda: set_active(resources, first, False),
        lambda: delete_user(resources, first),
        lambda: revoke_role(resources, OPERATOR, first, "superuser"),
        lambda: grant_role(resources, OPERATOR, first, "superuser", valid_until=moment(days=1)),
    ]
    for way in ways:
        with pytest.raises(WouldShutOut):
            await way()
    assert (await d.api.me(d.first.tokens)).status_code == 200


async def test_rbac_2_the_operator_is_the_way_out_for_a_lost_phone(fresh: Fresh) -> None:
    d = await desk(fresh, "production")
    await reset(d.api.resources, OPERATOR, d.first.account.id, "the only phone was lost")
    tokens = await d.api.log_in(d.first.account)
    assert error_of(await mark(d.api, tokens, "films:watch")) == (403, "step_up_required")
    assert (
        await d.api.http.post(f"{V1}/mfa/totp", json={"current_password": PASSWORD}, headers=tokens.bearer)
    ).is_success
    # Nobody can administer now, so nothing more is lost.
    assert (await set_active(d.api.resources, d.first.account.id, False)).is_active is False


async def test_rbac_2_where_nothing_asks_for_it_a_second_factor_may_go(fresh: Fresh) -> None:
    d = await desk(fresh, "neither")
    assert (await d.give_up_the_second_factor()).status_code == 204


async def test_rbac_2_admins_without_a_superuser_do_not_shut_themselves_out(fresh: Fresh) -> None:
    """Nobody could give back to the role of all admins what it had."""
    api = await fresh.api()
    _, tokens = await api.as_role("admin")
    await api.create_user("admin")
    before = (await api.http.get(f"{V1}/roles/admin", headers=tokens.bearer)).json()
    without_roles = [item for item in before["permissions"] if item != "roles:*"]
    changes: list[tuple[str, dict[str, Any]]] = [
        ("admin", {"permissions": []}),
        ("admin", {"permissions": without_roles}),
        ("admin", {"permissions": [*without_roles, "roles:read", "roles:write"]}),
        ("admin", {"parents": []}),
        ("moderator", {"permissions": ["reviews:read"]}),
        ("viewer", {"permissions": [], "parents": []}),
    ]
    for role, change in changes:
        answer = await api.http.patch(f"{V1}/roles/{role}", json=change, headers=tokens.bearer)
        assert error_of(answer) == SHUT_OUT, (role, change)
        assert "Grant that" in answer.json()["detail"]
    assert (await api.http.get(f"{V1}/roles/admin", headers=tokens.bearer)).json() == before
    wider = {"permissions": [*before["permissions"], "films:*"]}
    assert (await api.http.patch(f"{V1}/roles/admin", json=wider, headers=tokens.bearer)).status_code == 200
    # With a superuser all of it can be undone.
    await api.create_user("superuser")
    for role, change in changes:
        answer = await api.http.patch(f"{V1}/roles/{role}", json=change, headers=(await root_of(api)).bearer)
        assert answer.status_code == 200, (role, change)


async def root_of(api: Api) -> Tokens:
    return (await api.as_role("superuser"))[1]


async def test_rbac_2_the_only_admin_stays(fresh: Fresh) -> None:
    api = await fresh.api()
    boss, tokens = await api.as_role("admin")

    def delete_oneself() -> Awaitable[httpx.Response]:
        body = {"current_password": PASSWORD}
        return api.http.request("DELETE", f"{V1}/users/me", json=body, headers=tokens.bearer)

    ways: list[Callable[[], Awaitable[httpx.Response]]] = [
        delete_oneself,
        lambda: revoke(api, tokens, boss.id, "admin"),
        lambda: put_grant(api, tokens, boss.id, "admin", valid_until=moment(days=1)),
        lambda: put_grant(api, tokens, boss.id, "admin", valid_from=moment(hours=1)),
    ]
    for kind in ("alone", "with an end", "not begun", "disabled"):
        other = await api.create_user(active=kind != "disabled")
        dates = {"with an end": {"valid_until": moment(days=365)}, "not begun": {"valid_from": moment(minutes=5)}}
        if kind != "alone":
            await grant(api, tokens, other.id, "admin", **dates.get(kind, {}))
        for way in ways:
            assert error_of(await way()) == SHUT_OUT, kind
    keeper = await api.create_user("admin")
    assert (await delete_oneself()).status_code == 204
    assert (await api.me(await api.log_in(keeper))).status_code == 200


async def test_rbac_2_a_service_is_nobody_who_undoes(fresh: Fresh) -> None:
    """Its secrets run out or get lost, and nobody can ask it."""
    api = await fresh.api()
    boss, tokens = await api.as_role("admin")
    await api.create_service(tokens, ["roles:*", "users:*", "permissions:*"])
    assert error_of(await revoke(api, tokens, boss.id, "admin")) == SHUT_OUT


async def test_rbac_2_work_that_takes_nothing_from_administration_goes_on(fresh: Fresh) -> None:
    api = await fresh.api()
    _, tokens = await api.as_role("admin")
    clerk_role = await create_role(api, tokens, "roles:grant", "films:*")
    clerk = await api.create_user(clerk_role)
    for change in ({"permissions": ["films:read"]}, {"title": "x"}, {"permissions": [], "parents": ["viewer"]}):
        assert (await api.http.patch(f"{V1}/roles/{clerk_role}", json=change, headers=tokens.bearer)).is_success
    assert (await revoke(api, tokens, clerk.id, clerk_role)).status_code == 204
    assert (await api.http.delete(f"{V1}/roles/{clerk_role}", headers=tokens.bearer)).status_code == 204


# --- by a file, and the way out

MARKED = """version: 1
permissions:
  permissions:write: {title: Change the catalogue, step_up: true}
  films:rate: {title: Rate films}
"""


async def test_rbac_2_a_file_that_shuts_out_is_refused(fresh: Fresh, tmp_path: Path) -> None:
    watch = Watch()
    api = await fresh.api(watch)
    command, file = Command(api.resources.settings), tmp_path / "access.yaml"
    file.write_text(MARKED, encoding="utf-8")
    boss, tokens = await api.as_role("superuser")
    for what in ("plan", "apply"):
        assert "second factor" in await command.refuses("roles", what, str(file))
    assert await marks(api) == []
    await set_up(api, watch, tokens)
    await command.does("roles", "apply", str(file))
    assert await marks(api) == [UNMARK]
    # And what is applied later knows of the mark.
    for arguments in (("users", "toggle-active", boss.login), ("roles", "revoke", boss.login, "superuser")):
        assert "appoint another" in await command.refuses(*arguments)


WRONG = (
    "UPDATE permissions SET step_up = true",
    "DELETE FROM role_permissions WHERE role_name <> 'superuser'",
    "DELETE FROM user_roles WHERE role_name = 'superuser'",
    "UPDATE users SET is_active = false",
    "UPDATE roles SET session_limit = 1",
)


@pytest.mark.long
async def test_the_operator_leaves_every_state(fresh: Fresh, tmp_path: Path) -> None:
    """docs/operations.md, "Locked out": with the steps that it names."""
    watch = Watch()
    api = await fresh.api(watch, admin_mfa=True)
    command, file = Command(api.resources.settings), tmp_path / "access.yaml"
    before = await command.does("roles", "export")
    boss = await enrol(api, watch, "superuser")
    for statement in WRONG:
        await api.resources.hot.execute(statement)
    login = boss.account.login
    await command.does("users", "toggle-active", login)
    await command.does("users", "update-password", login, typed="another horse battery\n")
    await command.does("users", "unlock", login)
    await command.does("roles", "grant", login, "superuser")
    file.write_text(before, encoding="utf-8")
    await command.does("roles", "apply", str(file))
    assert await command.does("roles", "export") == before
    await command.does("users", "reset-mfa", login, "--reason", "the phone is gone")
    await command.does(
        "users", "create", "boss2", "boss2@cinema.example", "--another-superuser", typed="another horse battery\n"
    )
    for name in (login, "boss2"):
        tokens = tokens_of(await api.log_in_as(name, "another horse battery"))
        await set_up(api, watch, tokens, "another horse battery")
        assert (await mark(api, tokens, "films:watch")).status_code == 200
    await command.does("users", "toggle-active", login)


# --- two at once


async def test_rbac_2_two_who_give_up_their_second_factor_at_once(fresh: Fresh) -> None:
    watch = Watch()
    settings = await fresh.settings(admin_mfa=True)
    left, right = await fresh.on(settings, watch), await fresh.on(settings, watch)
    pair = [await enrol(left, watch, "superuser"), await enrol(right, watch, "superuser")]
    async with access_rules_locked(settings):
        both = [
            asyncio.create_task(one.send("DELETE", "/mfa/totp", current_password=PASSWORD, code=one.code()))
            for one in pair
        ]
        await waiting_for_the_lock(left, 2)
    answers = await asyncio.gather(*both)
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert await left.resources.hot.fetchval("SELECT count(*) FROM mfa_totp") == 1


@pytest.mark.parametrize("first", ["the mark", "the second factor"])
async def test_rbac_2_a_mark_and_the_last_second_factor_at_once(fresh: Fresh, first: str) -> None:
    watch = Watch()
    settings = await fresh.settings()
    left, right = await fresh.on(settings, watch), await fresh.on(settings, watch)
    boss = await enrol(left, watch, "superuser")
    other = await root_of(right)
    async with access_rules_locked(settings):
        acts: list[Callable[[], Awaitable[httpx.Response]]] = [
            lambda: mark(right, other, UNMARK),
            lambda: boss.send("DELETE", "/mfa/totp", current_password=PASSWORD, code=boss.code()),
        ]
        if first == "the second factor":
            acts.reverse()
        tasks = []
        for count, act in enumerate(acts, 1):
            tasks.append(asyncio.ensure_future(act()))
            await waiting_for_the_lock(left, count)
    done, refused = await asyncio.gather(*tasks)
    assert done.is_success
    assert error_of(refused) == SHUT_OUT


async def waiting_for_the_lock(api: Api, count: int) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(20):
        while await api.resources.hot.fetchval(waiting) < count:  # noqa: ASYNC110  Postgres has no event for it
            await asyncio.sleep(0.01)

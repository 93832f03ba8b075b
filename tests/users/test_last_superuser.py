"""RBAC-2: whatever is tried, one active superuser without an end remains."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest

from auth_service.core.connections import Resources
from auth_service.core.errors import LastSuperuser
from auth_service.permissions.actor import OPERATOR
from auth_service.roles.grants import grant_role, revoke_role
from auth_service.users.service import delete_user, set_active
from tests.conftest import Fresh
from tests.support.access import access_rules_locked, grant, moment, put_grant, revoke
from tests.support.api import V1, Account, Api, StoppedClock, Tokens, error_of


async def superusers(api: Api) -> int:
    """Counted here, not by the code under test: active now, with a grant that holds now and has no end."""
    count = await api.resources.hot.fetchval(
        "SELECT count(*) FROM user_roles r JOIN users u ON u.id = r.user_id WHERE r.role_name = 'superuser'"
        " AND u.is_active AND r.valid_from <= now() AND r.valid_until IS NULL"
    )
    return int(count)


async def delete_oneself(api: Api, account: Account, tokens: Tokens) -> httpx.Response:
    body = {"current_password": account.password}
    return await api.http.request("DELETE", f"{V1}/users/me", json=body, headers=tokens.bearer)


async def test_rbac_2_the_last_one_cannot_be_taken_away_over_the_api(fresh: Fresh) -> None:
    api = await fresh.api()
    root, tokens = await api.as_role("superuser")
    await api.create_user("admin")
    attempts: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: revoke(api, tokens, root.id, "superuser"),
        lambda: put_grant(api, tokens, root.id, "superuser", valid_until=moment(days=365)),
        lambda: put_grant(api, tokens, root.id, "superuser", valid_from=moment(seconds=30)),
        lambda: put_grant(api, tokens, root.id, "superuser", valid_from=moment(days=-2), valid_until=moment(days=-1)),
        lambda: delete_oneself(api, root, tokens),
    ]
    for attempt in attempts:
        assert error_of(await attempt()) == (409, "last_superuser")
        assert await superusers(api) == 1
        assert (await api.check(tokens, "payments:refund"))["allowed"] is True
    assert (
        await api.http.patch(f"{V1}/roles/superuser", json={"title": "x"}, headers=tokens.bearer)
    ).status_code == 409
    assert (await api.http.delete(f"{V1}/roles/superuser", headers=tokens.bearer)).status_code == 409


async def test_rbac_2_the_operator_cannot_take_the_last_one_either(fresh: Fresh) -> None:
    api = await fresh.api()
    root, tokens = await api.as_role("superuser")
    resources = api.resources
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: set_active(resources, root.id, False),
        lambda: delete_user(resources, root.id),
        lambda: revoke_role(resources, OPERATOR, root.id, "superuser"),
        lambda: grant_role(resources, OPERATOR, root.id, "superuser", valid_until=moment(days=1)),
    ]
    for attempt in attempts:
        with pytest.raises(LastSuperuser):
            await attempt()
        assert await superusers(api) == 1
    # Nothing of what was refused has happened: the session that a deactivation ends is alive.
    assert (await api.me(tokens)).status_code == 200


@pytest.mark.parametrize("kind", ["with an end", "not begun", "disabled", "admin only"])
async def test_rbac_2_nobody_else_counts_as_a_superuser(fresh: Fresh, kind: str) -> None:
    api = await fresh.api()
    root, tokens = await api.as_role("superuser")
    other = await api.create_user("admin")
    if kind == "with an end":
        await grant(api, tokens, other.id, "superuser", valid_until=moment(days=365))
    elif kind == "not begun":
        await grant(api, tokens, other.id, "superuser", valid_from=moment(minutes=5))
    elif kind == "disabled":
        await grant(api, tokens, other.id, "superuser")
        await set_active(api.resources, other.id, False)
    assert error_of(await revoke(api, tokens, root.id, "superuser")) == (409, "last_superuser")
    assert error_of(await delete_oneself(api, root, tokens)) == (409, "last_superuser")


async def test_rbac_2_with_a_second_one_the_first_may_go(fresh: Fresh) -> None:
    api = await fresh.api()
    root, tokens = await api.as_role("superuser")
    other = await api.create_user()
    await grant(api, tokens, other.id, "superuser")
    assert (await delete_oneself(api, root, tokens)).status_code == 204
    assert await superusers(api) == 1


async def test_rbac_2_without_any_superuser_other_work_goes_on(fresh: Fresh) -> None:
    api = await fresh.api()
    admin, tokens = await api.as_role("admin")
    other = await api.create_user()
    assert (await put_grant(api, tokens, other.id, "moderator")).status_code == 200
    assert (await revoke(api, tokens, other.id, "moderator")).status_code == 204
    await api.create_user("admin")
    assert (await delete_oneself(api, admin, tokens)).status_code == 204


@pytest.mark.parametrize("behind", [30.0, 0.0], ids=["a replica's clock is behind", "clocks agree"])
async def test_rbac_2_a_grant_renewed_a_moment_ago_still_counts(fresh: Fresh, behind: float) -> None:
    """Renewing moves the start to the renewer's now; whoever then judges must not think that nobody was there."""
    settings = await fresh.settings()
    api = await fresh.on(settings)
    slow = StoppedClock()
    slow.forward(seconds=-behind)
    late = await fresh.on(settings, slow)
    root, tokens = await api.as_role("superuser")
    await grant(api, tokens, root.id, "superuser")
    with pytest.raises(LastSuperuser):
        await revoke_role(late.resources, OPERATOR, root.id, "superuser")
    with pytest.raises(LastSuperuser):
        await set_active(late.resources, root.id, False)
    assert await superusers(api) == 1


async def test_rbac_2_a_renewal_that_waited_is_seen_by_the_removal_behind_it(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    root, tokens = await api.as_role("superuser")
    async with access_rules_locked(settings):
        # The removal comes in first, and so has the older idea of now; the renewal is granted first.
        removal = asyncio.create_task(remove(api, root.id))
        await asyncio.sleep(0.1)
        await api.resources.hot.execute("UPDATE user_roles SET valid_from = now() WHERE user_id = $1", root.id)
    with pytest.raises(LastSuperuser):
        await removal
    assert await superusers(api) == 1
    assert (await api.check(tokens, "payments:refund"))["allowed"] is True


async def remove(api: Api, user_id: UUID) -> None:
    await revoke_role(api.resources, OPERATOR, user_id, "superuser")


@dataclass(frozen=True)
class Rivals:
    """Two superusers, each at a replica of its own."""

    replicas: tuple[Api, Api]
    accounts: tuple[Account, Account]
    tokens: tuple[Tokens, Tokens]

    async def restore(self) -> None:
        resources = self.replicas[0].resources
        for account in self.accounts:
            await resources.hot.execute(
                "INSERT INTO user_roles (user_id, role_name) VALUES ($1, 'superuser') ON CONFLICT (user_id, role_name)"
                " DO UPDATE SET valid_from = now() - interval '1 minute', valid_until = NULL",
                account.id,
            )


async def rivals(fresh: Fresh) -> Rivals:
    settings = await fresh.settings()
    left, right = await fresh.on(settings), await fresh.on(settings)
    one, two = await left.create_user("superuser"), await left.create_user("superuser")
    return Rivals((left, right), (one, two), (await left.log_in(one), await right.log_in(two)))


async def test_rbac_2_two_who_demote_each_other_never_leave_nobody(fresh: Fresh) -> None:
    pair = await rivals(fresh)

    def demote(index: int, turn: int) -> Awaitable[httpx.Response]:
        api, tokens, victim = pair.replicas[index], pair.tokens[index], pair.accounts[1 - index]
        if turn % 3 == 0:
            return put_grant(api, tokens, victim.id, "superuser", valid_until=moment(hours=1))
        if turn % 3 == 1:
            return put_grant(api, tokens, victim.id, "superuser", valid_from=moment(hours=1))
        return revoke(api, tokens, victim.id, "superuser")

    for turn in range(40):
        answers = await asyncio.gather(demote(0, turn), demote(1, turn + turn % 2))
        assert await superusers(pair.replicas[0]) == 1, turn
        won = [answer for answer in answers if answer.status_code < 300]
        lost = [answer for answer in answers if answer.status_code >= 300]
        assert len(won) == 1
        # A loser demoted by a new end still holds everything for an hour: then it is refused as the last one.
        assert error_of(lost[0]) in {
            (403, "exceeds_own_permissions"),
            (403, "permission_denied"),
            (409, "last_superuser"),
        }
        await pair.restore()


async def test_rbac_2_two_who_resign_at_once_never_leave_nobody(fresh: Fresh) -> None:
    pair = await rivals(fresh)
    for turn in range(20):
        answers = await asyncio.gather(
            *(revoke(pair.replicas[n], pair.tokens[n], pair.accounts[n].id, "superuser") for n in (0, 1))
        )
        assert sorted(answer.status_code for answer in answers) == [204, 409], turn
        assert await superusers(pair.replicas[0]) == 1
        await pair.restore()


WAYS_OUT: list[Callable[[Resources, UUID], Awaitable[object]]] = [
    delete_user,
    lambda resources, user_id: set_active(resources, user_id, False),
    lambda resources, user_id: revoke_role(resources, OPERATOR, user_id, "superuser"),
    lambda resources, user_id: grant_role(resources, OPERATOR, user_id, "superuser", valid_until=moment(days=1)),
]


async def test_rbac_2_all_that_removes_a_superuser_takes_one_lock(fresh: Fresh) -> None:
    settings = await fresh.settings()
    left, right = await fresh.on(settings), await fresh.on(settings)
    keeper = await left.create_user("superuser")
    for turn in range(12):
        other = await left.create_user("superuser")
        outcomes = await asyncio.gather(
            WAYS_OUT[turn % len(WAYS_OUT)](right.resources, other.id),
            set_active(left.resources, keeper.id, False),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, LastSuperuser) for outcome in outcomes) == 1, outcomes
        assert await superusers(left) == 1
        await set_active(left.resources, keeper.id, True)
        await left.resources.hot.execute("DELETE FROM users WHERE id = $1", other.id)

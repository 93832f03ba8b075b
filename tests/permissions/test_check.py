"""The permission check: every reason, how long an answer holds, who may ask about whom, and no guess without stores."""

import asyncio
import base64
import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from auth_service.config import Settings
from auth_service.users.service import set_active
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Account, Api, Tokens, error_of
from tests.support.tcp_gate import gated

CHECK = f"{V1}/permissions/check"
BATCH = f"{V1}/permissions/check/batch"
Dates = dict[str, datetime]


def same(shown: str | None, expected: datetime) -> bool:
    return shown is not None and datetime.fromisoformat(shown) == expected


async def asks(api: Api, headers: dict[str, str], **body: Any) -> httpx.Response:
    return await api.http.post(CHECK, json=body, headers=headers)


async def user_with(api: Api, admin: Tokens, code: str, *grants: Dates) -> tuple[Account, Tokens]:
    """A user with one role of its own, which gives `code`, for each of the grants."""
    account, tokens = await api.as_role()
    for dates in grants:
        await grant(api, admin, account.id, await create_role(api, admin, code), **dates)
    return account, tokens


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        ([{}], "granted"),
        ([], "no_grant"),
        ([{"valid_from": moment(days=-2), "valid_until": moment(days=-1)}], "grant_expired"),
        ([{"valid_from": moment(days=1)}], "grant_not_started"),
        ([{"valid_from": moment(days=-2), "valid_until": moment(days=-1)}, {"valid_from": moment(days=1)}],
         "grant_not_started"),
        ([{"valid_from": moment(days=-2), "valid_until": moment(days=-1)}, {}], "granted"),
    ],
)  # fmt: skip
async def test_reasons_of_grants(api: Api, dates: list[Dates], reason: str) -> None:
    _, admin = await api.as_role("superuser")
    code = await create_permission(api, admin)
    _, tokens = await user_with(api, admin, code, *dates)
    answer = await api.check(tokens, code)
    assert (answer["allowed"], answer["reason"]) == (reason == "granted", reason)


@pytest.mark.parametrize(
    "asked", ["never:heard", "films:*", "*", "FILMS:read", "films:read ", "films", "а:б", "x" * 128]
)
async def test_rbac_5_what_the_catalogue_does_not_know_is_denied_even_to_a_superuser(api: Api, asked: str) -> None:
    _, root = await api.as_role("superuser")
    assert await api.check(root, asked) == {"allowed": False, "reason": "unknown_permission"}


async def test_a_permission_that_is_deleted_becomes_unknown(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    assert (await api.check(root, code))["allowed"] is True
    assert (await api.http.delete(f"{V1}/permissions/{code}", headers=root.bearer)).status_code == 204
    assert (await api.check(root, code))["reason"] == "unknown_permission"


async def test_inactive_user_is_denied_everything(api: Api) -> None:
    _, admin = await api.as_role("admin")
    disabled = await api.create_user("admin", active=False)
    assert await api.check(admin, "films:read", disabled.id) == {"allowed": False, "reason": "user_inactive"}
    assert (await api.check(admin, "never:heard", disabled.id))["reason"] == "unknown_permission"


async def test_wildcards_give_every_action_of_their_resource_and_no_other(api: Api) -> None:
    _, manager = await api.as_role("content-manager")
    assert (await api.check(manager, "films:publish"))["allowed"] is True
    assert (await api.check(manager, "payments:refund"))["reason"] == "no_grant"
    _, root = await api.as_role("superuser")
    longer = await create_permission(api, root, resource="films-archive")
    assert (await api.check(manager, longer))["reason"] == "no_grant"
    later = await create_permission(api, root, resource="films", action="restore")
    assert (await api.check(manager, later))["allowed"] is True


SOON, LATER, LAST = moment(hours=1), moment(hours=2), moment(hours=3)


@pytest.mark.parametrize(
    ("grants", "until"),
    [
        ([{}], None),
        ([{"valid_until": SOON}], SOON),
        ([{"valid_until": SOON}, {"valid_from": SOON, "valid_until": LATER}], LATER),
        ([{"valid_until": LATER}, {"valid_from": SOON, "valid_until": LAST}], LAST),
        ([{"valid_until": SOON}, {"valid_from": LATER, "valid_until": LAST}], SOON),
        ([{"valid_until": SOON}, {"valid_from": SOON}], None),
        ([{"valid_until": SOON}, {}], None),
        ([{"valid_until": LATER}, {"valid_until": SOON}], LATER),
        ([{"valid_from": SOON, "valid_until": LATER}], SOON),
        ([{"valid_from": LATER}, {"valid_from": SOON}], SOON),
        ([{"valid_until": SOON}, {"valid_from": LATER, "valid_until": LAST},
          {"valid_from": SOON, "valid_until": LATER}], LAST),
    ],
)  # fmt: skip
async def test_valid_until_is_when_time_alone_changes_the_answer(
    api: Api, grants: list[Dates], until: datetime | None
) -> None:
    _, admin = await api.as_role("superuser")
    code = await create_permission(api, admin)
    _, tokens = await user_with(api, admin, code, *grants)
    answer = await api.check(tokens, code)
    if until is None:
        assert "valid_until" not in answer
    else:
        assert same(answer["valid_until"], until)


async def test_explain_names_the_granted_role_and_where_the_permission_comes_from(api: Api) -> None:
    _, admin = await api.as_role("superuser")
    code = await create_permission(api, admin)
    parent = await create_role(api, admin, f"{code.partition(':')[0]}:*")
    child = await create_role(api, admin, parents=(parent,))
    account, tokens = await api.as_role()
    await grant(api, admin, account.id, child, valid_until=SOON)
    answer = (await asks(api, tokens.bearer, permission=code, explain=True)).json()
    (way,) = answer["explanation"]
    assert (way["permission"], way["role"], way["via"]) == (f"{code.partition(':')[0]}:*", child, parent)
    assert same(way["valid_until"], SOON)
    assert same(answer["valid_until"], SOON)


async def test_explain_shows_grants_that_do_not_count_and_decides_the_same(api: Api) -> None:
    _, admin = await api.as_role("superuser")
    code = await create_permission(api, admin)
    ended = {"valid_from": moment(days=-2), "valid_until": moment(days=-1)}
    _, tokens = await user_with(api, admin, code, ended, {"valid_from": SOON})
    plain = (await asks(api, tokens.bearer, permission=code)).json()
    explained = (await asks(api, tokens.bearer, permission=code, explain=True)).json()
    assert len(explained.pop("explanation")) == 2
    assert explained == plain
    nothing = (await asks(api, tokens.bearer, permission="payments:refund", explain=True)).json()
    assert nothing["explanation"] == []


async def test_two_ways_to_one_permission_count_once_each(api: Api) -> None:
    _, admin = await api.as_role("superuser")
    code = await create_permission(api, admin)
    top = await create_role(api, admin, code)
    left, right = [await create_role(api, admin, parents=(top,)) for _ in range(2)]
    bottom = await create_role(api, admin, parents=(left, right))
    account, tokens = await api.as_role()
    await grant(api, admin, account.id, bottom)
    answer = (await asks(api, tokens.bearer, permission=code, explain=True)).json()
    assert [(way["role"], way["via"]) for way in answer["explanation"]] == [(bottom, top)]


async def test_batch_answers_in_order_and_like_single_checks(api: Api) -> None:
    _, admin = await api.as_role("admin")
    viewer, _ = await api.as_role()
    disabled = await api.create_user(active=False)
    stranger = uuid4()
    codes = ["films:read", "payments:refund", "never:heard", "films:read"]
    checks = [
        {"permission": code, "user_id": str(user)} for user in (viewer.id, disabled.id, stranger) for code in codes
    ]
    checks.insert(5, {"permission": "payments:refund"})
    response = await api.http.post(BATCH, json={"checks": checks}, headers=admin.bearer)
    single = [(await asks(api, admin.bearer, **check)).json() for check in checks]
    assert response.json() == {"results": single}
    assert len({json.dumps(item) for item in single}) == 4  # granted, no_grant, unknown_permission, user_inactive


@pytest.mark.parametrize(("count", "status"), [(0, 422), (1, 200), (1000, 200), (1001, 422)])
async def test_chk_3_batch_takes_one_to_a_thousand_checks(api: Api, count: int, status: int) -> None:
    account, tokens = await api.as_role()
    checks = [
        {"permission": "films:read" if n % 3 else "films:watch", "user_id": str(account.id)} for n in range(count)
    ]
    response = await api.http.post(BATCH, json={"checks": checks}, headers=tokens.bearer)
    assert response.status_code == status
    if status == 200:
        allowed = [item["allowed"] for item in response.json()["results"]]
        assert allowed == [bool(n % 3) for n in range(count)]
    else:
        assert error_of(response)[1] == "validation_error"


async def test_chk_1_anonymous_is_401(api: Api) -> None:
    assert error_of(await asks(api, {}, permission="films:read")) == (401, "not_authenticated")
    batch = await api.http.post(BATCH, json={"checks": [{"permission": "films:read"}]})
    assert error_of(batch) == (401, "not_authenticated")


async def test_chk_1_user_may_ask_about_itself_only(api: Api) -> None:
    account, tokens = await api.as_role()
    other = await api.create_user()
    assert (await api.check(tokens, "films:read", account.id))["allowed"] is True
    assert error_of(await asks(api, tokens.bearer, permission="films:read", user_id=str(other.id))) == (
        403,
        "permission_denied",
    )
    assert error_of(await asks(api, tokens.bearer, permission="films:read", user_id=str(uuid4())))[0] == 403
    one_other = [{"permission": "films:read"}, {"permission": "films:read", "user_id": str(other.id)}]
    batch = await api.http.post(BATCH, json={"checks": one_other}, headers=tokens.bearer)
    assert error_of(batch) == (403, "permission_denied")


async def test_chk_1_others_need_permissions_check_at_this_moment(api: Api) -> None:
    _, admin = await api.as_role("superuser")
    asker, tokens = await api.as_role()
    other = await api.create_user()
    role = await create_role(api, admin, "permissions:check")
    await grant(api, admin, asker.id, role)
    assert (await api.check(tokens, "films:read", other.id))["allowed"] is True
    await grant(api, admin, asker.id, role, valid_from=moment(days=-2), valid_until=moment(seconds=-1))
    refused = await asks(api, tokens.bearer, permission="films:read", user_id=str(other.id))
    assert error_of(refused) == (403, "permission_denied")
    assert "grant_expired" in refused.json()["detail"]


async def test_chk_1_service_names_the_user_and_needs_the_scope(api: Api) -> None:
    _, admin = await api.as_role("admin")
    viewer = await api.create_user()
    asking = await api.service_token(*await api.create_service(admin))
    answer = await asks(api, asking, permission="films:read", user_id=str(viewer.id))
    assert answer.json() == {"allowed": True, "reason": "granted"}
    assert error_of(await asks(api, asking, permission="films:read")) == (403, "permission_denied")
    mixed = {"checks": [{"permission": "films:read", "user_id": str(viewer.id)}, {"permission": "films:read"}]}
    assert error_of(await api.http.post(BATCH, json=mixed, headers=asking)) == (403, "permission_denied")
    other = await api.service_token(*await api.create_service(admin, ["films:read"]))
    assert error_of(await asks(api, other, permission="films:read", user_id=str(viewer.id)))[0] == 403
    client_id, _ = await api.create_service(admin, ["films:read"])
    assert error_of(await asks(api, other, permission="films:read", user_id=client_id))[0] == 403


async def test_chk_1_service_token_lives_fifteen_minutes_at_most(api: Api) -> None:
    _, admin = await api.as_role("admin")
    headers = await api.service_token(*await api.create_service(admin))
    part = headers["Authorization"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert 0 < claims["exp"] - claims["iat"] <= 900


async def test_chk_1_deleted_service_is_dead_at_once_on_every_replica(
    api: Api, fresh: Fresh, shared_settings: Settings
) -> None:
    replica = await fresh.on(shared_settings)
    _, admin = await api.as_role("admin")
    viewer = await api.create_user()
    client_id, secret = await api.create_service(admin)
    headers = await api.service_token(client_id, secret)
    asked = {"permission": "films:read", "user_id": str(viewer.id)}
    assert (await asks(replica, headers, **asked)).status_code == 200
    assert (await api.http.delete(f"{V1}/services/{client_id}", headers=admin.bearer)).status_code == 204
    assert error_of(await asks(replica, headers, **asked)) == (401, "not_authenticated")
    assert error_of(await asks(api, headers, **asked)) == (401, "not_authenticated")


@pytest.mark.parametrize("change", [{"audience": "another-audience"}, {"issuer": "http://another.example"}])
async def test_chk_1_token_of_another_audience_or_issuer_is_refused(
    api: Api, fresh: Fresh, shared_settings: Settings, change: dict[str, str]
) -> None:
    # The same stores and so the same signing keys: only the claim differs.
    elsewhere = await fresh.on(shared_settings.model_copy(update=change))
    account = await api.create_user()
    tokens = await elsewhere.log_in(account)
    assert (await asks(elsewhere, tokens.bearer, permission="films:read")).status_code == 200
    assert error_of(await asks(api, tokens.bearer, permission="films:read")) == (401, "not_authenticated")


async def test_chk_2_unknown_user_is_answered_like_one_without_the_grant(api: Api) -> None:
    _, admin = await api.as_role("admin")
    viewer = await api.create_user()
    for code in ("payments:refund", "never:heard"):
        known = await asks(api, admin.bearer, permission=code, user_id=str(viewer.id), explain=True)
        unknown = await asks(api, admin.bearer, permission=code, user_id=str(uuid4()), explain=True)
        assert known.content == unknown.content
        assert known.status_code == unknown.status_code == 200


async def test_log_10_disabled_user_is_out_everywhere_at_once(
    api: Api, fresh: Fresh, shared_settings: Settings
) -> None:
    replicas = [api, await fresh.on(shared_settings), await fresh.on(shared_settings)]
    account, tokens = await api.as_role("admin")
    other = await api.create_user()
    service = await api.service_token(*await api.create_service(tokens))
    for replica in replicas:
        assert (await replica.me(tokens)).status_code == 200
    await set_active(api.resources, account.id, False)
    for replica in replicas:
        assert error_of(await replica.me(tokens)) == (401, "not_authenticated")
        assert error_of(await asks(replica, tokens.bearer, permission="films:read"))[0] == 401
        assert error_of(await asks(replica, tokens.bearer, permission="films:read", user_id=str(other.id)))[0] == 401
        asked = await asks(replica, service, permission="films:read", user_id=str(account.id))
        assert asked.json() == {"allowed": False, "reason": "user_inactive"}
        assert error_of(await replica.refresh(tokens.refresh)) == (401, "invalid_refresh_token")
        login = {"login": account.login, "password": account.password}
        assert error_of(await replica.http.post(f"{V1}/auth/login", json=login)) == (401, "invalid_credentials")
    await set_active(api.resources, account.id, True)
    assert error_of(await api.me(tokens))[0] == 401  # what was ended stays ended
    assert (await api.me(await api.log_in(account))).status_code == 200


async def test_rbac_6_removed_grant_is_denied_by_the_next_check_on_every_replica(
    api: Api, fresh: Fresh, shared_settings: Settings
) -> None:
    replica = await fresh.on(shared_settings)
    _, admin = await api.as_role("superuser")
    code = await create_permission(api, admin)
    role = await create_role(api, admin, code)
    account, tokens = await api.as_role()
    for _ in range(5):
        await grant(api, admin, account.id, role)
        assert (await replica.check(tokens, code))["allowed"] is True
        assert (await api.check(tokens, code))["allowed"] is True
        await api.http.delete(f"{V1}/users/{account.id}/roles/{role}", headers=admin.bearer)
        assert (await replica.check(tokens, code))["allowed"] is False
        assert (await api.check(tokens, code))["allowed"] is False


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"permission": ""},
        {"permission": "x" * 129},
        {"permission": 1},
        {"permission": None},
        {"permission": "films:read", "user_id": "me"},
        {"permission": "films:read", "user_id": 7},
        {"permission": "films:read", "explain": "yes"},
        {"permission": "films:read", "subject": "me"},
        {"permission": ["films:read"]},
    ],
)
async def test_malformed_checks_are_422(api: Api, body: dict[str, Any]) -> None:
    _, tokens = await api.as_role()
    response = await api.http.post(CHECK, json=body, headers=tokens.bearer)
    assert error_of(response) == (422, "validation_error")


@pytest.mark.parametrize("trouble", ["cut", pytest.param("frozen", marks=pytest.mark.long)])
@pytest.mark.parametrize("store", ["database_url", "redis_url"])
async def test_chk_4_without_a_store_the_answer_is_503_and_never_yes_or_401(
    api: Api, fresh: Fresh, shared_settings: Settings, store: str, trouble: str
) -> None:
    account, tokens = await api.as_role("admin")
    service = await api.service_token(*await api.create_service(tokens))
    async with gated(shared_settings, store) as (gate, behind):
        # What is kept in memory is answered without them: test_cache.py
        values = {"database_timeout_seconds": 0.6, "redis_timeout_ms": 300, "check_cache_bytes": 0}
        shaky = await fresh.on(behind.model_copy(update=values))
        of_user = {"permission": "films:read", "user_id": str(account.id)}
        in_authzen = {
            "subject": {"type": "user", "id": str(account.id)},
            "action": {"name": "read"},
            "resource": {"type": "films", "id": "1"},
        }
        calls: list[tuple[dict[str, str], str, dict[str, Any]]] = [
            (tokens.bearer, CHECK, {"permission": "films:read"}),
            (tokens.bearer, CHECK, {"permission": "never:heard"}),
            (service, CHECK, of_user),
            (service, BATCH, {"checks": [of_user] * 3}),
            (service, "/access/v1/evaluation", in_authzen),
            (service, "/access/v1/search/subject", in_authzen),
        ]
        for headers, path, body in calls:
            assert (await shaky.http.post(path, json=body, headers=headers)).status_code == 200
        if trouble == "cut":
            await gate.shut()
        else:
            gate.freeze()
        for headers, path, body in calls:
            response = await shaky.http.post(path, json=body, headers=headers)
            assert error_of(response) == (503, "temporarily_unavailable"), path
            assert int(response.headers["retry-after"]) >= 1
            assert "allowed" not in response.text
            assert "decision" not in response.text
        guarded = await shaky.http.get(f"{V1}/roles", headers=tokens.bearer)
        assert error_of(guarded) == (503, "temporarily_unavailable")
        await gate.open()
        assert (await until_answered(shaky, tokens))["allowed"] is True


async def until_answered(api: Api, tokens: Tokens) -> dict[str, Any]:
    """What a broken connection leaves behind may cost the first calls after it."""
    for _ in range(50):
        response = await asks(api, tokens.bearer, permission="films:read")
        if response.status_code == 200:
            answer: dict[str, Any] = response.json()
            return answer
        assert response.status_code == 503
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come back")

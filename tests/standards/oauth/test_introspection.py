"""RFC 7662: what is live is told in full, and of everything else only that it is not."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from auth_service.config import Settings
from auth_service.core.http.oauth_paths import INTROSPECTION_PATH
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of
from tests.support.forgery import claims_of, forged

INACTIVE = {"active": False}


class Asker:
    """A service with the scope. It asks by its token, and by its secret in both places: the answer is the same."""

    def __init__(self, api: Api, client: tuple[str, str], bearer: dict[str, str]) -> None:
        self.api, self.client, self.bearer = api, client, bearer

    async def ask(self, token: str, **more: str) -> dict[str, Any]:
        client_id, secret = self.client
        in_body = {"client_id": client_id, "client_secret": secret}
        answers = [
            await self.api.http.post(INTROSPECTION_PATH, data={"token": token, **more}, headers=self.bearer),
            await self.api.http.post(INTROSPECTION_PATH, data={"token": token, **more}, auth=self.client),
            await self.api.http.post(INTROSPECTION_PATH, data={"token": token, **more, **in_body}),
            await self.api.http.post(INTROSPECTION_PATH, json={"token": token, **more, **in_body}),
        ]
        for answer in answers:
            assert answer.status_code == 200, answer.text
            assert answer.headers["cache-control"] == "no-store"
            assert answer.content == answers[0].content
        found: dict[str, Any] = answers[0].json()
        return found


async def asker_of(api: Api) -> Asker:
    _, admin = await api.as_role("admin")
    client = await api.create_service(admin, ["tokens:introspect"])
    return Asker(api, client, await api.service_token(*client))


@pytest.fixture(scope="module")
async def asker(api: Api) -> Asker:
    return await asker_of(api)


async def test_a_users_access_token(asker: Asker) -> None:
    account, tokens = await asker.api.as_role()
    claims = claims_of(tokens.access)
    assert await asker.ask(tokens.access) == {
        "active": True,
        "token_type": "Bearer",
        "username": account.login,
        **{name: claims[name] for name in ("sub", "sid", "jti", "iat", "exp", "iss", "aud")},
    }


async def test_a_services_token_has_its_scope_and_its_client(asker: Asker) -> None:
    token = asker.bearer["Authorization"].removeprefix("Bearer ")
    claims = claims_of(token)
    assert await asker.ask(token) == {
        "active": True,
        "token_type": "Bearer",
        "client_id": asker.client[0],
        "scope": "tokens:introspect",
        **{name: claims[name] for name in ("sub", "sid", "jti", "iat", "exp", "iss", "aud")},
    }


async def test_a_refresh_token_cannot_be_taken_for_an_access_token(asker: Asker) -> None:
    account, tokens = await asker.api.as_role()
    found = await asker.ask(tokens.refresh)
    assert found.keys() == {"active", "token_type", "username", "sub", "sid", "iss", "iat", "exp"}
    assert (found["active"], found["token_type"], found["username"]) == (True, "N_A", account.login)
    assert (found["sub"], found["sid"]) == (str(account.id), tokens.session_id)
    assert found["exp"] - found["iat"] == pytest.approx(7 * 86400, abs=2)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard_of", ""])
async def test_a_wrong_hint_changes_nothing(asker: Asker, hint: str) -> None:
    _, tokens = await asker.api.as_role()
    for token in (tokens.access, tokens.refresh):
        assert await asker.ask(token, token_type_hint=hint, unheard_of="1") == await asker.ask(token)
        assert (await asker.ask(token, token_type_hint=hint))["active"] is True


async def test_chk_2_what_is_no_live_token_is_only_that(asker: Asker) -> None:
    api = asker.api
    _, tokens = await api.as_role()
    dead = {
        "junk": "junk",
        "odd": "\u0416 \U0001f600",
        "forged": f"{tokens.access[:-8]}AAAAAAAA",
        "expired": forged(api, tokens, iat=1, exp=600),
        "another issuer": forged(api, tokens, iss="https://elsewhere.example"),
        "another audience": forged(api, tokens, aud="other"),
        "made up": f"{uuid4().hex}.0.{'A' * 43}",
        "a password": PASSWORD,
        "a secret": asker.client[1],
        "bearer": f"Bearer {tokens.access}",
    }
    assert {name: await asker.ask(token) for name, token in dead.items()} == dict.fromkeys(dead, INACTIVE)


async def test_out_1_a_logout_ends_both(asker: Asker) -> None:
    _, tokens = await asker.api.as_role()
    assert (await asker.ask(tokens.access))["active"] is True
    assert (await asker.api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    assert await asker.ask(tokens.access) == INACTIVE
    assert await asker.ask(tokens.refresh) == INACTIVE


async def _disable(api: Api, account: Account, admin: Tokens) -> httpx.Response:
    url = f"{V1}/admin/users/{account.id}"
    return await api.http.patch(url, json={"is_active": False, "reason": "asked for it"}, headers=admin.bearer)


async def _delete(api: Api, account: Account, admin: Tokens) -> httpx.Response:
    url = f"{V1}/admin/users/{account.id}/delete"
    return await api.http.post(url, json={"reason": "asked for it"}, headers=admin.bearer)


async def _log_out_everywhere(api: Api, account: Account, admin: Tokens) -> httpx.Response:
    return await api.http.post(f"{V1}/admin/users/{account.id}/logout-all", headers=admin.bearer)


@pytest.mark.parametrize("end", [_disable, _delete, _log_out_everywhere])
async def test_log_10_nothing_is_live_of_a_user_who_is_not(asker: Asker, end: Any) -> None:
    _, admin = await asker.api.as_role("superuser")
    account, tokens = await asker.api.as_role()
    assert (await asker.ask(tokens.access))["active"] is True
    assert (await end(asker.api, account, admin)).status_code in {200, 204}
    assert await asker.ask(tokens.access) == INACTIVE
    assert await asker.ask(tokens.refresh) == INACTIVE


async def test_a_deleted_service_has_no_live_token(asker: Asker) -> None:
    _, admin = await asker.api.as_role("admin")
    client = await asker.api.create_service(admin)
    token = (await asker.api.service_token(*client))["Authorization"].removeprefix("Bearer ")
    assert (await asker.ask(token))["active"] is True
    assert (await asker.api.http.delete(f"{V1}/services/{client[0]}", headers=admin.bearer)).status_code == 204
    assert await asker.ask(token) == INACTIVE


async def test_ref_4_the_parent_is_live_as_long_as_a_refresh_takes_it(fresh: Fresh, shared_settings: Settings) -> None:
    clock = StoppedClock()
    api = await fresh.on(shared_settings, clock)
    _, admin = await api.as_role("admin")
    client = await api.create_service(admin, ["tokens:introspect"])

    async def ask(token: str) -> dict[str, Any]:
        answer = await api.http.post(INTROSPECTION_PATH, data={"token": token}, auth=client)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    account = await api.create_user()
    first = await api.log_in(account)
    second = tokens_of(await api.refresh(first.refresh))
    parent = await ask(first.refresh)
    assert parent["exp"] == int((clock() + timedelta(seconds=10)).timestamp())
    assert "iat" not in parent
    assert (await ask(second.refresh))["iat"] == int(clock().timestamp())
    clock.forward(seconds=10)
    assert await ask(first.refresh) == INACTIVE
    assert (await ask(second.refresh))["active"] is True  # to ask is not to use it
    third = tokens_of(await api.refresh(second.refresh))
    assert await ask(first.refresh) == INACTIVE
    clock.forward(days=7)
    assert await ask(third.refresh) == INACTIVE
    assert await ask(third.access) == INACTIVE


BEARER, BOTH = 'Bearer realm="auth"', 'Bearer realm="auth", Basic realm="auth"'


async def test_chk_1_the_caller_is_judged_first(asker: Asker) -> None:
    api = asker.api
    _, admin = await api.as_role("admin")
    poor = await api.create_service(admin, ["permissions:check"])
    _, viewer = await api.as_role()
    _, gone = await api.as_role("admin")
    await api.http.post(f"{V1}/auth/logout", headers=gone.bearer)
    lacking = f'{BEARER}, error="insufficient_scope", scope="tokens:introspect"'
    wrong: list[tuple[dict[str, Any], tuple[int, str], str | None]] = [
        ({}, (401, "not_authenticated"), BOTH),
        ({"headers": {"Authorization": "Bearer junk"}}, (401, "not_authenticated"), f'{BEARER}, error="invalid_token"'),
        ({"headers": gone.bearer}, (401, "not_authenticated"), f'{BEARER}, error="invalid_token"'),
        ({"auth": (asker.client[0], "wrong")}, (401, "invalid_client"), 'Basic realm="auth"'),
        ({"auth": (str(uuid4()), asker.client[1])}, (401, "invalid_client"), 'Basic realm="auth"'),
        ({"headers": {"Authorization": "Digest a"}}, (401, "invalid_client"), 'Basic realm="auth"'),
        ({"headers": await api.service_token(*poor)}, (403, "permission_denied"), lacking),
        ({"auth": poor}, (403, "permission_denied"), lacking),
        ({"headers": viewer.bearer}, (403, "permission_denied"), None),
    ]
    for how, expected, challenge in wrong:
        for body in ({"token": viewer.access}, {"token": "junk"}, {}):
            answer = await api.http.post(INTROSPECTION_PATH, data=body, **how)
            assert error_of(answer) == expected, how
            assert answer.headers.get("www-authenticate") == challenge
            assert answer.json()["error_description"] == answer.json()["detail"]
    assert (await api.http.post(INTROSPECTION_PATH, data={"token": "junk"}, headers=admin.bearer)).json() == INACTIVE


@pytest.mark.parametrize(
    "body", ["", "token=", "token=a&token=a", "token=a&x=1&x=1", "token=a&%ff=1", "token=%ed%a0%80"]
)
async def test_a_malformed_request_is_400(asker: Asker, body: str) -> None:
    headers = asker.bearer | {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await asker.api.http.post(INTROSPECTION_PATH, content=body, headers=headers)
    assert error_of(answer) == (400, "invalid_request")
    assert answer.json()["error_description"].isascii()


async def test_the_rate_of_secrets_is_that_of_the_token_endpoint(fresh: Fresh, shared_settings: Settings) -> None:
    """A service that asks often has a token for it."""
    api = await fresh.on(shared_settings.model_copy(update={"rate_limit_token": "5/hour"}))
    asker = await asker_of(api)  # with one of the five
    body = {"token": "junk"}
    statuses = [(await api.http.post(INTROSPECTION_PATH, data=body, auth=asker.client)).status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
    statuses = [
        (await api.http.post(INTROSPECTION_PATH, data=body, headers=asker.bearer)).status_code for _ in range(6)
    ]
    assert statuses == [200] * 6


async def test_chk_4_a_store_that_is_down_is_503(fresh: Fresh) -> None:
    """Not "inactive": a resource server would turn its caller away for it."""
    settings = await fresh.settings(database_timeout_seconds=1)
    api = await fresh.on(settings)
    asker = await asker_of(api)
    _, tokens = await api.as_role()
    await api.resources.hot.close()
    for token in (tokens.access, tokens.refresh):
        answer = await api.http.post(INTROSPECTION_PATH, data={"token": token}, headers=asker.bearer)
        assert error_of(answer)[0] == 503

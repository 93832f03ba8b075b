"""RFC 7009: a token's end, by whoever may end it, seen by every worker."""

import base64
from typing import Any

import httpx
import pytest

from auth_service.core.http.oauth_paths import REVOCATION_PATH
from tests.conftest import Fresh
from tests.support.api import V1, Api, Tokens, error_of, tokens_of
from tests.support.forgery import forged

REFUSED = (401, "not_authenticated")
INVALID = (401, "invalid_refresh_token")


async def revoke(api: Api, token: str, client: tuple[str, str] | None = None, /, **more: str) -> httpx.Response:
    auth: Any = client or httpx.USE_CLIENT_DEFAULT
    return await api.http.post(REVOCATION_PATH, data={"token": token, **more}, auth=auth)


async def assert_revoked(api: Api, token: str, client: tuple[str, str] | None = None, /, **more: str) -> None:
    answer = await revoke(api, token, client, **more)
    assert (answer.status_code, answer.content) == (200, b""), answer.text
    assert answer.headers["cache-control"] == "no-store"


async def assert_over(api: Api, tokens: Tokens) -> None:
    assert error_of(await api.me(tokens)) == REFUSED
    assert error_of(await api.refresh(tokens.refresh)) == INVALID


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "unheard_of"])
@pytest.mark.parametrize("kind", ["access", "refresh"])
async def test_out_4_either_token_of_a_user_ends_the_session(api: Api, kind: str, hint: str | None) -> None:
    """RFC 7009 section 2.2: a wrong hint is ignored."""
    account, tokens = await api.as_role()
    other = await api.log_in(account)
    for _ in range(2):  # what is revoked already is no error
        await assert_revoked(api, getattr(tokens, kind), **({} if hint is None else {"token_type_hint": hint}))
    await assert_over(api, tokens)
    assert (await api.me(other)).status_code == 200


async def test_out_4_an_older_and_an_expired_token_end_it_too(api: Api) -> None:
    _, tokens = await api.as_role()
    second = tokens_of(await api.refresh(tokens.refresh))
    await assert_revoked(api, tokens.refresh)
    await assert_over(api, second)
    _, tokens = await api.as_role()
    await assert_revoked(api, forged(api, tokens, iat=1, exp=600))
    await assert_over(api, tokens)


async def test_out_4_junk_is_no_error_and_ends_nothing(api: Api) -> None:
    _, tokens = await api.as_role()
    for token in ("junk", "\u0416", f"{tokens.access[:-8]}AAAAAAAA", forged(api, tokens, aud="other"), "a" * 9000):
        await assert_revoked(api, token)
    assert (await api.me(tokens)).status_code == 200


async def test_out_1_no_replica_accepts_the_token_after_the_answer(fresh: Fresh) -> None:
    """Although each of them has it in memory."""
    settings = await fresh.settings()
    first, second = await fresh.on(settings), await fresh.on(settings)
    account = await first.create_user()
    for kind in ("access", "refresh"):
        tokens = await first.log_in(account)
        for _ in range(2):
            assert (await second.check(tokens, "films:read"))["allowed"] is True
        await assert_revoked(first, getattr(tokens, kind))
        answer = await second.http.get(f"{V1}/auth/verify", headers=tokens.bearer)
        assert error_of(answer) == REFUSED


async def test_a_public_client_may_name_itself_and_send_a_bearer_token(api: Api) -> None:
    """As its library does with every request; it is no authentication here."""
    _, tokens = await api.as_role()
    body = {"token": tokens.refresh, "client_id": "the app of the cinema"}
    answer = await api.http.post(REVOCATION_PATH, data=body, headers={"Authorization": "Bearer expired"})
    assert answer.status_code == 200
    await assert_over(api, tokens)


async def test_a_service_revokes_one_token_and_shows_its_secret_for_it(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client = await api.create_service(admin, ["roles:read"])
    other = await api.create_service(admin, ["roles:read"])
    first, second = await api.service_token(*client), await api.service_token(*client)
    token = first["Authorization"].removeprefix("Bearer ")

    async def status(headers: dict[str, str]) -> int:
        return (await api.http.get(f"{V1}/roles", headers=headers)).status_code

    assert error_of(await revoke(api, token)) == (401, "invalid_client")
    assert error_of(await revoke(api, token, (client[0], "wrong"))) == (401, "invalid_client")
    assert error_of(await revoke(api, token, other)) == (400, "invalid_grant")
    assert await status(first) == 200
    await assert_revoked(api, token, client)
    assert (await status(first), await status(second)) == (401, 200)
    await assert_revoked(api, token, client)  # once more
    in_body = {"client_id": client[0], "client_secret": client[1]}
    await assert_revoked(api, second["Authorization"].removeprefix("Bearer "), **in_body)
    assert await status(second) == 401


async def test_a_service_ends_no_session_of_a_user(api: Api) -> None:
    """Section 2.1: the token was not issued to it."""
    _, admin = await api.as_role("admin")
    client = await api.create_service(admin)
    _, tokens = await api.as_role()
    for token in (tokens.access, tokens.refresh):
        assert error_of(await revoke(api, token, client)) == (400, "invalid_grant")
    assert (await api.me(tokens)).status_code == 200
    await assert_revoked(api, "junk", client)


async def test_a_secret_is_checked_whatever_the_token_is(api: Api) -> None:
    for auth in ("Basic ???", "Basic " + base64.b64encode(b"no colon").decode(), "Digest a"):
        answer = await api.http.post(REVOCATION_PATH, data={"token": "junk"}, headers={"Authorization": auth})
        assert error_of(answer) == (401, "invalid_client")
        assert answer.headers["www-authenticate"] == 'Basic realm="auth"'
        assert answer.json()["error_description"] == answer.json()["detail"]


@pytest.mark.parametrize("body", ["", "token=", "token=a&token=a", "token=a&x=1&x=1", "token_type_hint=access_token"])
async def test_a_malformed_request_is_400(api: Api, body: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await api.http.post(REVOCATION_PATH, content=body, headers=headers)
    assert error_of(answer) == (400, "invalid_request")

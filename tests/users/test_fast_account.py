"""The fast path shows one's own account as the ordinary route does, to the byte, whoever asks."""

import httpx
import pytest

from tests.conftest import Fresh
from tests.support.api import V1, Api, error_of
from tests.support.fast_answers import ORDINARY, note_fast_answers
from tests.support.forgery import forged
from tests.support.tcp_gate import gated

ME = f"{V1}/users/me"


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that the fast path has answered."""
    return note_fast_answers(monkeypatch)


async def both(api: Api, method: str = "GET", **headers: str) -> httpx.Response:
    given = {"x-request-id": "of-a-comparison", **headers}
    quick, ordinary = [await api.http.request(method, ME, headers=given | more) for more in ({}, ORDINARY)]
    assert quick.status_code == ordinary.status_code
    assert quick.headers.raw == ordinary.headers.raw
    assert quick.content == ordinary.content
    return quick


async def test_every_caller_is_answered_as_ever(api: Api, handled: list[str]) -> None:
    account, tokens = await api.as_role()
    _, away = await api.as_role()
    assert (await api.http.post(f"{V1}/auth/logout", headers=away.bearer)).status_code == 204
    _, root = await api.as_role("superuser")
    service = (await api.service_token(*await api.create_service(root)))["Authorization"]
    handled.clear()
    shown = await both(api, authorization=f"Bearer {tokens.access}")
    assert (shown.status_code, shown.json()["id"]) == (200, str(account.id))
    for authorization in (
        service,
        f"Bearer {away.access}",
        f"Bearer {tokens.access[:-8]}AAAAAAAA",
        f"Bearer {forged(api, tokens, iat=1, exp=600)}",
        "Bearer junk",
    ):
        assert error_of(await both(api, authorization=authorization)) == (401, "not_authenticated")
    assert len(handled) == 6
    for authorization in ("Basic dXNlcjpwYXNz", "Bearer", f"Bearer  {tokens.access}", "Bearer a b"):
        assert (await both(api, authorization=authorization)).status_code == 401
    assert (await both(api, authorization=f"bearer {tokens.access}")).status_code == 200
    assert (await both(api)).status_code == 401
    assert len(handled) == 6


async def test_what_is_stored_is_shown_as_ever(api: Api) -> None:
    _, tokens = await api.as_role()
    bearer = tokens.bearer["Authorization"]
    for name in ("Иван \u2028 Ω", '"<&>\\', "a" * 200, None):
        await api.http.patch(ME, json={"full_name": name}, headers=tokens.bearer)
        assert (await both(api, authorization=bearer)).json()["full_name"] == name
    assert (await both(api, "HEAD", authorization=bearer)).content == b""
    for headers in ({"origin": "https://elsewhere.example"}, {"accept": "text/html"}, {"content-type": "text/plain"}):
        await both(api, authorization=bearer, **headers)


async def test_an_account_that_is_gone(fresh: Fresh) -> None:
    api = await fresh.api()
    account, tokens = await api.as_role()
    await api.resources.hot.execute("DELETE FROM users WHERE id = $1", account.id)
    assert (await both(api, authorization=tokens.bearer["Authorization"])).status_code == 404


@pytest.mark.parametrize("store", ["database_url", "redis_url"])
async def test_rel_10_a_store_that_is_down_is_a_503(fresh: Fresh, store: str) -> None:
    settings = await fresh.settings(check_cache_bytes=0)
    async with gated(settings, store) as (gate, behind):
        api = await fresh.on(behind)
        _, tokens = await api.as_role()
        await gate.shut()
        answer = await both(api, authorization=tokens.bearer["Authorization"])
        assert error_of(answer) == (503, "temporarily_unavailable")

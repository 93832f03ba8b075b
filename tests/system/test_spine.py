"""The main job end to end: register, log in, be denied, be granted, be allowed."""

import pytest

from tests.support.api import PASSWORD, V1, Api, error_of, tokens_of, unique


async def test_viewer_becomes_subscriber(api: Api) -> None:
    login = unique("viewer")
    body = {"login": login, "email": f"{login}@Example.COM", "password": PASSWORD}
    registered = await api.http.post(f"{V1}/auth/register", json=body)
    assert registered.status_code == 201
    assert registered.json()["email"] == f"{login}@example.com"
    tokens = tokens_of(await api.http.post(f"{V1}/auth/login", json={"login": login.upper(), "password": PASSWORD}))

    denied = await api.check(tokens, "films:watch")
    assert denied == {"allowed": False, "reason": "no_grant"}

    _, admin = await api.as_role("admin")
    granted = await api.http.put(
        f"{V1}/users/{registered.json()['id']}/roles/subscriber",
        json={"valid_until": "2099-01-01T00:00:00Z"},
        headers=admin.bearer,
    )
    assert granted.status_code == 200
    allowed = await api.check(tokens, "films:watch")
    assert allowed == {"allowed": True, "reason": "granted", "valid_until": "2099-01-01T00:00:00Z"}


async def test_logout_ends_the_session_everywhere(api: Api) -> None:
    account, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    assert error_of(await api.me(tokens)) == (401, "not_authenticated")
    assert error_of(await api.refresh(tokens.refresh)) == (401, "invalid_refresh_token")
    assert (await api.me(await api.log_in(account))).status_code == 200


@pytest.mark.long
async def test_two_workers_answer(fresh) -> None:  # type: ignore[no-untyped-def]
    settings = await fresh.settings()
    service = await fresh.service(settings, workers=2)
    assert (await service.http.get("/health/live")).json() == {"status": "alive"}

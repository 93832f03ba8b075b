"""RFC 6750 section 3: what a refusal says about the token that is wanted."""

import pytest

from tests.support.api import V1, Api, error_of

NONE = 'Bearer realm="auth"'
WRONG = 'Bearer realm="auth", error="invalid_token"'
ROUTES = [
    ("GET", "/users/me"),
    ("GET", "/auth/verify"),
    ("HEAD", "/auth/verify"),
    ("GET", "/roles"),
    ("POST", "/permissions/check"),
    ("POST", "/auth/step-up"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_error_code_where_no_token_came(api: Api, method: str, path: str) -> None:
    for headers, challenge in (
        ({}, NONE),
        ({"Authorization": "Basic YTpi"}, NONE),
        ({"Cookie": "theme=dark"}, NONE),
        ({"Authorization": "Bearer junk"}, WRONG),
        ({"Authorization": "Bearer"}, WRONG),
        ({"Cookie": "auth_access=junk"}, WRONG),
    ):
        body = {"permission": "films:read"} if method == "POST" else None
        answer = await api.http.request(method, f"{V1}{path}", json=body, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == challenge, headers


async def test_a_scope_that_a_token_lacks_is_named(api: Api) -> None:
    _, admin = await api.as_role("admin")
    service = await api.service_token(*await api.create_service(admin, ["films:read"]))
    account, viewer = await api.as_role()
    asked = {"permission": "films:read", "user_id": str(account.id)}
    lacking = f'{NONE}, error="insufficient_scope", scope="{{}}"'
    for method, path, scope in (
        ("GET", "/roles", "roles:read"),
        ("GET", "/auth/verify?permission=films:read&permission=films:publish", "films:publish"),
        ("POST", "/permissions/check", "permissions:check"),
    ):
        body = asked if method == "POST" else None
        answer = await api.http.request(method, f"{V1}{path}", json=body, headers=service)
        assert error_of(answer) == (403, "permission_denied")
        assert answer.headers["www-authenticate"] == lacking.format(scope)
    of_user = await api.http.get(f"{V1}/roles", headers=viewer.bearer)
    assert (of_user.status_code, of_user.headers.get("www-authenticate")) == (403, None)  # no scope would help


@pytest.mark.parametrize("code", ['a"b', "a\\b", "a b", "\u0436", '", error="'])
async def test_what_a_proxy_asks_for_is_never_more_than_a_word_of_the_header(api: Api, code: str) -> None:
    _, admin = await api.as_role("admin")
    service = await api.service_token(*await api.create_service(admin, ["films:read"]))
    answer = await api.http.get(f"{V1}/auth/verify", params={"permission": code}, headers=service)
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == f'{NONE}, error="insufficient_scope"'

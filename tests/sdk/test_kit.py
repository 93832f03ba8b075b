"""The test kit as somebody's tests use it: routes, a middleware, a clock, and clients of one's own."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import httpx2
import jwt
import pytest
from auth_service_client import (
    AuthClient,
    Caller,
    ConfigError,
    Denied,
    InvalidRequest,
    InvalidToken,
    SyncAuthClient,
    Unavailable,
)
from auth_service_client.starlette import AuthMiddleware
from auth_service_client.testing import FakeAuth
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

USER = uuid4()


def app_of(client: AuthClient) -> FastAPI:
    app = FastAPI(lifespan=client.lifespan)

    @app.get("/films/{film}")
    async def film(film: str, caller: Caller = Depends(client.require("films:watch"))) -> str:  # noqa: B008
        return f"{film} for {caller.id}"

    return app


def browser(app: object) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app.test")  # type: ignore[arg-type]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_route_is_protected(auth: FakeAuth) -> None:
    async with browser(app_of(auth)) as http:
        answer = await http.get("/films/1")
        assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "not_authenticated")
        denied = await http.get("/films/1", headers=bearer(auth.token(USER)))
        assert (denied.status_code, denied.json()["detail"]["reason"]) == (403, "no_grant")
        auth.grant(USER, "films:*", until=timedelta(hours=1))
        twice = [("Authorization", f"Bearer {auth.token(USER)}"), ("Authorization", "Bearer x")]
        assert (await http.get("/films/1", headers=twice)).status_code == 401
        allowed = await http.get("/films/1", headers=bearer(auth.token(USER)))
        assert (allowed.status_code, allowed.json()) == (200, f"1 for {USER}")
        auth.clock.move(hours=1)
        ended = await http.get("/films/1", headers=bearer(auth.token(USER)))
        assert ended.json()["detail"]["reason"] == "grant_expired"
        auth.fail()
        away = await http.get("/films/1", headers=bearer(auth.token(USER)))
        assert (away.status_code, away.headers["retry-after"]) == (503, "1")
        auth.recover()
        auth.grant(USER, "films:watch")
        assert (await http.get("/films/1", headers=bearer(auth.token(USER)))).status_code == 200


async def test_tokens_end(auth: FakeAuth) -> None:
    auth.grant(USER, "*")
    session = uuid4()
    token, same, other = auth.token(USER, session_id=session), auth.token(USER, session_id=session), auth.token(USER)
    assert (await auth.verify(token)).session_id == session
    auth.log_out(token)
    for dead in (token, same, auth.token(USER, expired=True), "junk", f"{other}x", None):
        for call in (auth.verify(dead), auth.authorize(dead, "films:watch")):
            with pytest.raises(InvalidToken):
                await call
    assert (await auth.authorize(other, "films:watch")).id == USER
    auth.clock.move(minutes=15, seconds=30)
    for call in (auth.verify(other), auth.authorize(other)):
        with pytest.raises(InvalidToken):
            await call


async def test_an_app_that_has_made_its_client_already(auth: FakeAuth) -> None:
    client = AuthClient("http://127.0.0.1:9")
    async with browser(app_of(client)) as http:
        auth.stand_in_for(client)
        auth.grant(USER, "films:watch")
        assert (await http.get("/films/1", headers=bearer(auth.token(USER)))).status_code == 200
        assert (await client.verify(auth.token(USER))).id == USER
        await client.ready()
        auth.restore()
        assert (await http.get("/films/1", headers=bearer(auth.token(USER)))).status_code == 503
    assert "verify" not in client.__dict__
    await client.close()


def test_a_sync_app_that_has_made_its_client_already(auth: FakeAuth) -> None:
    with SyncAuthClient("http://127.0.0.1:9", issuer=auth.issuer, retries=0) as client:
        auth.stand_in_for(client)
        auth.grant(USER, "films:watch")
        assert client.check(USER, "films:watch")
        assert client.authorize(auth.token(USER), "films:watch").id == USER
        auth.restore()
        with pytest.raises(Unavailable):
            client.verify(auth.token(USER))


def test_the_sync_fake_is_of_the_same_service(auth: FakeAuth) -> None:
    auth.grant(USER, "films:watch")
    assert auth.sync.check(USER, "films:watch")
    assert auth.sync.verify(auth.token(USER)).id == USER
    with pytest.raises(Denied) as raised:
        auth.sync.authorize(auth.token(USER), "films:rate")
    assert raised.value.reason == "no_grant"
    auth.fail()
    for call in (lambda: auth.sync.check(USER, "films:watch"), lambda: auth.sync.verify(auth.token(USER))):
        with pytest.raises(Unavailable):
            call()


async def test_the_middleware(auth: FakeAuth) -> None:
    async def hello(request: Request) -> PlainTextResponse:
        caller: Caller | None = getattr(request.state, "caller", None)
        return PlainTextResponse(str(caller.id if caller else "nobody"))

    routes = [Route("/films", hello), Route("/health", hello), Route("/public/x", hello)]
    guard = Middleware(AuthMiddleware, client=auth, permissions=["films:watch"], public=["/health", "/public/*"])
    async with browser(Starlette(routes=routes, middleware=[guard])) as http:
        assert [(await http.get(path)).text for path in ("/health", "/public/x")] == ["nobody"] * 2
        refused = await http.get("/films")
        assert (refused.status_code, refused.json()["error"]) == (401, "not_authenticated")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await http.get("/films", headers=bearer(auth.token(USER)))).json()["reason"] == "no_grant"
        auth.grant(USER, "films:watch")
        assert (await http.get("/films", headers=bearer(auth.token(USER)))).text == str(USER)
        twice = [("Authorization", f"Bearer {auth.token(USER)}")] * 2
        assert (await http.get("/films", headers=twice)).status_code == 401
        auth.fail()
        assert (await http.get("/films", headers=bearer(auth.token(USER)))).status_code == 503


@pytest.mark.parametrize("given", [{"public": "/static/*"}, {"permissions": "films:watch"}], ids=str)
def test_a_text_is_not_taken_for_a_list(auth: FakeAuth, given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        AuthMiddleware(None, auth, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [["films:watch"], None, ""], ids=str)
def test_what_can_be_no_permission_is_told_where_it_is_required(auth: FakeAuth, wrong: str) -> None:
    with pytest.raises(InvalidRequest, match="films:watch"):
        auth.require(wrong)


@pytest.mark.parametrize("allowed", [True, False])
async def test_the_middleware_before_a_websocket(auth: FakeAuth, allowed: bool) -> None:
    seen: list[str] = []

    async def app(scope: dict[str, object], _receive: object, _send: object) -> None:
        seen.append(str(scope["type"]))

    async def send(message: dict[str, object]) -> None:
        seen.append(str(message["type"]))

    if allowed:
        auth.grant(USER, "films:watch")
    headers = [(b"authorization", f"Bearer {auth.token(USER)}".encode())]
    scope = {"type": "websocket", "path": "/films", "headers": headers}
    await AuthMiddleware(app, auth, ["films:watch"])(scope, None, send)  # type: ignore[arg-type]
    assert seen == (["websocket"] if allowed else ["websocket.close"])


async def test_a_client_of_ones_own_accepts_its_tokens(auth: FakeAuth) -> None:
    async with AuthClient("http://auth.test", issuer=auth.issuer, http=auth.http) as client:
        assert (await client.verify(auth.token(USER))).id == USER
        with pytest.raises(InvalidToken):
            await client.verify(FakeAuth().token(USER))
    async with AuthClient("http://auth.test", http=auth.http) as client:
        assert (await client.verify(auth.service_token("films:read"))).scopes == ("films:read",)


def test_another_library_accepts_its_tokens(auth: FakeAuth) -> None:
    key = jwt.PyJWKSet.from_dict(auth.jwks).keys[0]
    claims = jwt.decode(auth.token(USER), key, algorithms=["ES256"], audience="cinema", issuer=auth.issuer)
    assert claims["sub"] == str(USER)


def test_a_pattern_that_the_service_would_not_take_is_refused(auth: FakeAuth) -> None:
    for pattern in ("films", "films:", "films:wat*", "*:watch", "Films:watch", ""):
        with pytest.raises(ValueError, match="no permission"):
            auth.grant(USER, pattern)
    with pytest.raises(KeyError):
        auth.revoke(USER, "films:watch")


def test_two_tests_do_not_see_each_other(auth: FakeAuth, another: FakeAuth) -> None:
    auth.grant(USER, "films:watch")
    with pytest.raises(InvalidToken):
        another.sync.verify(auth.token(USER))
    assert not another.sync.check(USER, "films:watch")


@pytest.fixture
def another() -> Iterator[FakeAuth]:
    fake = FakeAuth()
    yield fake
    fake.restore()


def test_it_works_in_one_loop_after_another(auth: FakeAuth) -> None:
    auth.grant(USER, "films:watch")
    for _ in range(3):
        assert asyncio.run(auth.check(USER, "films:watch"))

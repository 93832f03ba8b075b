"""An act that ends something, done again after a 503: whatever it answers then, what it ended is dead everywhere.

Redis refuses the denial at the first try: a list stands where the number belongs. Nothing else of Redis is in the way,
so each act gets as far as its commit, and what it could not publish is what the second try has to.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from auth_service.config import Settings
from auth_service.core.tokens.denylist import redis_key
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, tokens_of
from tests.support.command import Command
from tests.support.cookie_browser import Browser
from tests.support.forgery import claims_of
from tests.support.mailbox import newest
from tests.support.phone import shown_at
from tests.support.tcp_gate import gate_to
from tests.support.viewer import Watch, set_up

UNAVAILABLE = (503, "temporarily_unavailable")
REFUSED = (401, "not_authenticated")
NEW = "nineteen-wooden-boats"
REASON = {"reason": "asked for by phone"}

Send = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True)
class Ending:
    """`send` ends the `tokens` (Authorization headers); done again it answers one of `again`."""

    send: Send
    tokens: list[dict[str, str]]
    again: set[int] = field(default_factory=lambda: {204})


@dataclass(frozen=True)
class Stage:
    """Makes the people of the acts."""

    api: Api
    fresh: Fresh
    settings: Settings

    def call(self, method: str, path: str, tokens: Tokens | None = None, **body: Any) -> Send:
        headers = tokens.bearer if tokens else {}
        return lambda: self.api.http.request(method, f"{V1}{path}", json=body or None, headers=headers)

    async def two_sessions(self) -> tuple[Account, Tokens, Tokens]:
        account, one = await self.api.as_role()
        return account, one, await self.api.log_in(account)

    async def admin(self) -> Tokens:
        return (await self.api.as_role("admin"))[1]

    def browser(self) -> Browser:
        return Browser(self.api, "http://localhost:8000", base="http://localhost")


async def logout(stage: Stage) -> Ending:
    _, tokens = await stage.api.as_role()
    return Ending(stage.call("POST", "/auth/logout", tokens), [tokens.bearer])


async def logout_by_refresh_token(stage: Stage) -> Ending:
    _, tokens = await stage.api.as_role()
    return Ending(stage.call("POST", "/auth/logout", refresh_token=tokens.refresh), [tokens.bearer])


async def logout_by_cookie(stage: Stage) -> Ending:
    account, browser = await stage.api.create_user(), stage.browser()
    await browser.log_in(account)
    access = next(value for name, value in browser.cookies.items() if name.endswith("access"))
    return Ending(lambda: browser.send("POST", "/auth/logout"), [{"Authorization": f"Bearer {access}"}])


async def logout_of_a_service(stage: Stage) -> Ending:
    service = await stage.api.service_token(*await stage.api.create_service(await stage.admin()))
    return Ending(lambda: stage.api.http.post(f"{V1}/auth/logout", headers=service), [service])


async def logout_others(stage: Stage) -> Ending:
    _, here, there = await stage.two_sessions()
    return Ending(stage.call("POST", "/auth/logout-others", here), [there.bearer])


async def logout_all(stage: Stage) -> Ending:
    _, here, there = await stage.two_sessions()
    return Ending(stage.call("POST", "/auth/logout-all", here), [here.bearer, there.bearer], {204, 401})


async def own_session(stage: Stage) -> Ending:
    _, here, there = await stage.two_sessions()
    return Ending(stage.call("DELETE", f"/users/me/sessions/{there.session_id}", here), [there.bearer], {404})


async def device(stage: Stage) -> Ending:
    _, there, here = await stage.two_sessions()
    listed = (await stage.call("GET", "/users/me/devices", here)()).json()["items"]
    device_id = next(item["id"] for item in listed if not item["current"])
    return Ending(stage.call("DELETE", f"/users/me/devices/{device_id}", here), [there.bearer], {404})


async def password_change(stage: Stage) -> Ending:
    _, here, there = await stage.two_sessions()
    body = {"current_password": PASSWORD, "new_password": NEW}
    return Ending(stage.call("POST", "/users/me/password", here, **body), [there.bearer], {403})


async def forgotten_password(stage: Stage) -> Ending:
    account, tokens = await stage.api.as_role()
    await stage.call("POST", "/auth/password/forgot", email=account.email)()
    token = (await newest(stage.api, account.email, "reset_password")).token
    send = stage.call("POST", "/auth/password/reset", token=token, new_password=NEW)
    return Ending(send, [tokens.bearer], {401})


async def second_factor_confirmed(stage: Stage) -> Ending:
    _, here, there = await stage.two_sessions()
    started = await stage.call("POST", "/mfa/totp", here, current_password=PASSWORD)()
    code = shown_at(started.json()["secret"], stage.api.resources.clock())
    return Ending(stage.call("POST", "/mfa/totp/confirm", here, code=code), [there.bearer], {409})


async def second_factor_disabled(stage: Stage) -> Ending:
    account, here = await stage.api.as_role()
    _, codes = await set_up(stage.api, Watch(), here)
    there = await with_code(stage, account, codes[0])
    body = {"current_password": PASSWORD, "code": codes[1]}
    return Ending(stage.call("DELETE", "/mfa/totp", here, **body), [there.bearer], {409})


async def with_code(stage: Stage, account: Account, code: str) -> Tokens:
    asked = (await stage.api.log_in_as(account.login, PASSWORD)).json()
    return tokens_of(await stage.call("POST", "/auth/login/mfa", challenge=asked["challenge"], code=code)())


async def step_up(stage: Stage) -> Ending:
    _, tokens = await stage.api.as_role()
    return Ending(stage.call("POST", "/auth/step-up", tokens, current_password=PASSWORD), [tokens.bearer], {401})


async def refresh_reuse(stage: Stage) -> Ending:
    _, tokens = await stage.api.as_role()
    child = tokens_of(await stage.api.refresh(tokens.refresh))
    grandchild = tokens_of(await stage.api.refresh(child.refresh))
    return Ending(stage.call("POST", "/auth/refresh", refresh_token=tokens.refresh), [grandchild.bearer], {401})


async def login_beyond_the_limit(stage: Stage) -> Ending:
    settings = stage.settings.model_copy(update={"session_limit": 1})
    narrow = Stage(await stage.fresh.on(settings), stage.fresh, settings)
    account, tokens = await narrow.api.as_role()
    return Ending(narrow.call("POST", "/auth/login", login=account.login, password=PASSWORD), [tokens.bearer], {200})


async def login_in_the_same_browser(stage: Stage) -> Ending:
    account, browser = await stage.api.create_user(), stage.browser()
    await browser.log_in(account)
    access = next(value for name, value in browser.cookies.items() if name.endswith("access"))
    body = {"login": account.login, "password": PASSWORD}
    return Ending(lambda: browser.send("POST", "/auth/login", body), [{"Authorization": f"Bearer {access}"}], {200})


async def own_account(stage: Stage) -> Ending:
    _, tokens = await stage.api.as_role()
    send = stage.call("DELETE", "/users/me", tokens, current_password=PASSWORD)
    return Ending(send, [tokens.bearer], {401, 404})


async def session_by_admin(stage: Stage) -> Ending:
    account, tokens = await stage.api.as_role()
    path = f"/admin/users/{account.id}/sessions/{tokens.session_id}"
    return Ending(stage.call("DELETE", path, await stage.admin()), [tokens.bearer], {404})


async def logout_by_admin(stage: Stage) -> Ending:
    account, tokens = await stage.api.as_role()
    send = stage.call("POST", f"/admin/users/{account.id}/logout-all", await stage.admin())
    return Ending(send, [tokens.bearer])


async def disabled_by_admin(stage: Stage) -> Ending:
    account, tokens = await stage.api.as_role()
    send = stage.call("PATCH", f"/admin/users/{account.id}", await stage.admin(), is_active=False, **REASON)
    return Ending(send, [tokens.bearer], {200})


async def deleted_by_admin(stage: Stage) -> Ending:
    account, tokens = await stage.api.as_role()
    send = stage.call("DELETE", f"/admin/users/{account.id}", await stage.admin(), **REASON)
    return Ending(send, [tokens.bearer], {404})


async def second_factor_reset_by_admin(stage: Stage) -> Ending:
    account, tokens = await stage.api.as_role()
    await set_up(stage.api, Watch(), tokens)
    send = stage.call("POST", f"/admin/users/{account.id}/reset-mfa", await stage.admin(), **REASON)
    return Ending(send, [tokens.bearer], {409})


async def service_account(stage: Stage) -> Ending:
    admin = await stage.admin()
    client = await stage.api.create_service(admin)
    service = await stage.api.service_token(*client)
    return Ending(stage.call("DELETE", f"/services/{client[0]}", admin), [service], {404})


ACTS = [
    logout,
    logout_by_refresh_token,
    logout_by_cookie,
    logout_of_a_service,
    logout_others,
    logout_all,
    own_session,
    device,
    password_change,
    forgotten_password,
    second_factor_confirmed,
    second_factor_disabled,
    step_up,
    refresh_reuse,
    login_beyond_the_limit,
    login_in_the_same_browser,
    own_account,
    session_by_admin,
    logout_by_admin,
    disabled_by_admin,
    deleted_by_admin,
    second_factor_reset_by_admin,
    service_account,
]


@pytest.fixture
def stage(api: Api, fresh: Fresh, shared_settings: Settings) -> Stage:
    return Stage(api, fresh, shared_settings)


def keys_of(bearer: dict[str, str]) -> list[str]:
    """Each denial of which would end the token: of its session, of itself, and of its user's epoch."""
    claims = claims_of(bearer["Authorization"].removeprefix("Bearer "))
    names = (f"sid:{claims['sid']}", f"jti:{claims['jti']}", "epoch")
    return [redis_key(f"auth:{{{claims['sub']}}}:{name}") for name in names]


@asynccontextmanager
async def redis_refuses_to_deny(api: Api, tokens: Iterable[dict[str, str]]) -> AsyncIterator[None]:
    """GET of a list is an error, in a script too; the check of a token takes it for no denial."""
    keys = [key for bearer in tokens for key in keys_of(bearer)]
    for key in keys:
        await api.resources.redis.rpush(key, "not a number")
    yield
    for key in keys:
        await api.resources.redis.delete(key)


async def denied_in_redis(api: Api, bearer: dict[str, str]) -> bool:
    """What a worker goes by that has not looked into Postgres since."""
    session, token, epoch = await api.resources.redis.mget(keys_of(bearer))
    minted = claims_of(bearer["Authorization"].removeprefix("Bearer "))["epoch"]
    return session is not None or token is not None or (epoch is not None and minted < int(epoch))


async def accepted(api: Api, bearer: dict[str, str]) -> bool:
    """By any route that takes tokens of users and of services alike."""
    answer = await api.http.get(f"{V1}/auth/verify", headers=bearer)
    return answer.status_code != 401


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
async def test_out_1_what_is_done_again_after_a_503_publishes_what_the_first_try_could_not(
    stage: Stage, act: Callable[[Stage], Awaitable[Ending]]
) -> None:
    ending = await act(stage)
    assert all([await accepted(stage.api, bearer) for bearer in ending.tokens])
    async with redis_refuses_to_deny(stage.api, ending.tokens):
        for _ in range(2):  # "there is no such session" would be as good as 204
            assert error_of(await ending.send()) == UNAVAILABLE
    again = await ending.send()
    assert again.status_code in ending.again, again.text
    assert [bearer for bearer in ending.tokens if not await denied_in_redis(stage.api, bearer)] == []
    assert not any([await accepted(stage.api, bearer) for bearer in ending.tokens])


@pytest.mark.parametrize("ask", ["check", "refresh", "step-up wanted", "logout by refresh token", "profile", "admin"])
async def test_out_1_who_is_told_of_an_end_is_told_after_every_worker(stage: Stage, ask: str) -> None:
    """By other answers than the act's own: 401 here and 200 at the next worker would be two truths."""
    api = stage.api
    account, tokens = await api.as_role()
    admin = await stage.admin()
    ends_account = ask in {"logout by refresh token", "profile", "admin"}
    path, body = ("/users/me", {"current_password": PASSWORD}) if ends_account else ("/auth/logout", {})
    end = stage.call("DELETE" if ends_account else "POST", path, tokens, **body)
    asks = {
        "check": stage.call("POST", "/permissions/check", tokens, permission="films:watch"),
        "refresh": stage.call("POST", "/auth/refresh", refresh_token=tokens.refresh),
        "step-up wanted": stage.call("GET", "/users/me/export", tokens),
        "logout by refresh token": stage.call("POST", "/auth/logout", refresh_token=tokens.refresh),
        "profile": stage.call("GET", "/users/me", tokens),
        "admin": stage.call("GET", f"/admin/users/{account.id}", admin),
    }
    async with redis_refuses_to_deny(api, [tokens.bearer]):
        assert error_of(await end()) == UNAVAILABLE
        if ask == "check":
            await api.resources.denylist.learn()  # as twice a second
        assert error_of(await asks[ask]()) == UNAVAILABLE
    told = await asks[ask]()
    assert told.status_code in {204, 401, 404}, told.text
    assert await denied_in_redis(api, tokens.bearer)


async def test_out_1_the_refresh_token_of_a_deleted_account_is_refused_after_every_worker_knows(stage: Stage) -> None:
    """Nothing is left that says whose it was."""
    _, tokens = await stage.api.as_role()
    async with redis_refuses_to_deny(stage.api, [tokens.bearer]):
        answer = await stage.call("DELETE", "/users/me", tokens, current_password=PASSWORD)()
        assert error_of(answer) == UNAVAILABLE
        assert error_of(await stage.api.refresh(tokens.refresh)) == UNAVAILABLE
    assert error_of(await stage.api.refresh(tokens.refresh)) == (401, "invalid_refresh_token")
    assert await denied_in_redis(stage.api, tokens.bearer)


@pytest.mark.parametrize("failure", ["shut", "frozen"])
async def test_out_1_logout_again_once_redis_is_there_again(fresh: Fresh, failure: str) -> None:
    settings = await fresh.settings(redis_timeout_ms=300)
    near = await fresh.on(settings)
    account, by_access = await near.as_role()
    by_refresh = await near.log_in(account)
    async with gate_to(settings.redis_url.get_secret_value()) as gate:
        api = await fresh.on(settings.model_copy(update={"redis_url": SecretStr(gate.url)}))
        stage = Stage(api, fresh, settings)
        logouts = [
            stage.call("POST", "/auth/logout", by_access),
            stage.call("POST", "/auth/logout", refresh_token=by_refresh.refresh),
        ]
        if failure == "shut":
            await gate.shut()
        else:
            gate.freeze()
        for log_out in logouts:
            assert error_of(await log_out()) == UNAVAILABLE
        await gate.open()
        for log_out, tokens in zip(logouts, (by_access, by_refresh), strict=True):
            while (answer := await log_out()).status_code == 503:
                pass  # on a connection that was cut
            assert (answer.status_code, answer.content) == (204, b"")
            assert await denied_in_redis(near, tokens.bearer)
            assert error_of(await near.me(tokens)) == REFUSED


COMMANDS = {
    ("update-password",): (0, "password changed, all sessions ended\n", ""),
    ("toggle-active", "--disable"): (0, "disabled\n", ""),
    ("delete", "--yes"): (1, "", "There is no user {login}.\n"),
    ("reset-mfa", "--reason", "lost"): (1, "", "No second factor is in use.\n"),
}


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
async def test_out_1_a_command_done_again_publishes_what_the_first_try_could_not(
    stage: Stage, arguments: tuple[str, ...]
) -> None:
    account, tokens = await stage.api.as_role()
    if arguments[0] == "reset-mfa":
        await set_up(stage.api, Watch(), tokens)
    command, (name, *more) = Command(stage.settings), arguments
    async with redis_refuses_to_deny(stage.api, [tokens.bearer]):
        for _ in range(2):
            assert (await command("users", name, account.login, *more, typed=NEW)).code == 3
    again = await command("users", name, account.login, *more, typed=NEW)
    code, out, err = COMMANDS[arguments]
    assert (again.code, again.out, again.err) == (code, out, err.format(login=account.login))
    assert await denied_in_redis(stage.api, tokens.bearer)


async def test_a_command_that_would_undo_itself_begins_only_with_redis(stage: Stage) -> None:
    account, tokens = await stage.api.as_role()
    nowhere = stage.settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    for _ in range(2):
        assert (await Command(nowhere)("users", "toggle-active", account.login)).code == 3
        assert (await stage.api.me(tokens)).status_code == 200

"""Tokens in cookies: what is set, what is taken for a credential, and what a login or a logout leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from auth_service.config import Settings
from auth_service.models import Device, Session
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of
from tests.support.cookie_browser import (
    ACCESS,
    CSRF,
    DEVICE,
    FRONT,
    ORIGIN,
    REFRESH,
    SITE,
    Browser,
    SetCookie,
    enrol,
    logged_in,
    running_site,
    set_cookies,
)
from tests.support.forgery import forged
from tests.support.hostile import stored
from tests.support.phone import shown_at

AMBIGUOUS = (400, "ambiguous_credentials")
NOBODY = (401, "not_authenticated")


@pytest.fixture(scope="session")
async def site(shared_settings: Settings) -> AsyncIterator[Api]:
    """Shared by the tests of the worker: the app under its https:// address."""
    async with running_site(shared_settings) as api:
        yield api


async def sessions_of(api: Api, account: Account) -> dict[str, Session]:
    async with api.resources.db() as session:
        rows = await session.scalars(select(Session).where(Session.user_id == account.id))
        return {str(row.id): row for row in rows}


async def devices_of(api: Api, account: Account) -> list[Device]:
    async with api.resources.db() as session:
        return list(await session.scalars(select(Device).where(Device.user_id == account.id)))


# --- what is set


def check_attributes(cookie: SetCookie, *, secure: bool) -> None:
    expected = {"path": "/", "samesite": "lax"}
    if secure:
        assert cookie.name.startswith("__Host-")
        expected["secure"] = ""
    if cookie.name.removeprefix("__Host-") != "auth_csrf":
        expected["httponly"] = ""
    rest = dict(cookie.attributes)
    assert int(rest.pop("max-age")) >= 0
    assert rest == expected, cookie.name  # no Domain, and nothing else
    assert cookie.size < 4096


@pytest.mark.parametrize("secure", [True, False], ids=["https", "http"])
async def test_cke_1_every_cookie_of_every_route(fresh: Fresh, secure: bool) -> None:
    clock = StoppedClock()
    origin = ORIGIN if secure else "http://localhost"
    api = await fresh.api(clock, **(SITE if secure else {"issuer": origin}))
    account, browser = await api.create_user(), Browser(api, origin, base=origin)
    names = {name if secure else name.removeprefix("__Host-") for name in (ACCESS, REFRESH, CSRF)}
    device = DEVICE if secure else "auth_device"
    seen: list[str] = []

    async def step(path: str, body: dict[str, Any] | None, expected: set[str]) -> httpx.Response:
        before = dict(browser.cookies)
        answer = await browser.send("POST", path, body)
        assert answer.status_code in {200, 204}, answer.text
        cookies = set_cookies(answer)
        assert cookies.keys() == expected
        for cookie in cookies.values():
            check_attributes(cookie, secure=secure)
            assert cookie.attributes["max-age"] != "0" or answer.status_code == 204
        seen.append(answer.text)
        secrets = {value for jar in (before, browser.cookies) for name, value in jar.items() if "csrf" not in name}
        assert [value for value in secrets if value in answer.text] == []
        assert not answer.content or {"access_token", "refresh_token", "device_token"}.isdisjoint(answer.json())
        assert answer.headers["cache-control"] == "no-store"
        return answer

    login = {"login": account.login, "password": PASSWORD}
    answer = await step("/auth/login", login, {*names, device})
    assert answer.json() == {
        "token_type": "Cookie",
        "csrf_token": browser.csrf,
        "expires_in": 900,
        "session_id": answer.json()["session_id"],
        "ended_sessions": 0,
    }
    await step("/auth/refresh", None, names)
    await step("/auth/step-up", {"current_password": PASSWORD}, names)
    secret = await enrol(browser, clock.now)
    await step("/auth/logout", None, names)
    assert browser.cookies.keys() == {device}
    clock.forward(seconds=30)
    challenge = (await step("/auth/login", login, set())).json()["challenge"]
    code = shown_at(secret, clock.now)
    await step("/auth/login/mfa", {"challenge": challenge, "code": code}, {*names, device})
    await step("/auth/logout-all", None, names)
    assert len(seen) == 7


async def test_cke_1_lives_of_the_cookies(site: Api) -> None:
    """Those of the tokens in them; the CSRF token is needed for as long as the refresh token."""
    account, browser = await site.create_user(), Browser(site)
    login = {"login": account.login, "password": PASSWORD}
    cookies = set_cookies(await browser.send("POST", "/auth/login", login))
    lives = {name: int(cookie.attributes["max-age"]) for name, cookie in cookies.items()}
    assert lives == {ACCESS: 900, REFRESH: 7 * 86_400, CSRF: 7 * 86_400, DEVICE: 180 * 86_400}


async def test_cke_1_hsts_in_production(fresh: Fresh) -> None:
    settings = await fresh.settings(**SITE)
    values = settings.model_dump() | {"app_env": "production"}
    api = await fresh.on(Settings(_env_file=None, **values))
    _, browser = await logged_in(api)
    for answer in (
        await browser.send("POST", "/auth/refresh"),
        await browser.send("POST", "/auth/refresh", headers=[]),
    ):
        age = answer.headers["strict-transport-security"].partition("max-age=")[2]
        assert int(age) >= 365 * 86_400, "refusals too"


async def test_cke_1_cookies_come_only_to_those_who_ask(site: Api) -> None:
    account = await site.create_user()
    tokens = tokens_of(await site.http.post(f"{V1}/auth/login", json={"login": account.login, "password": PASSWORD}))
    for answer in (await site.refresh(tokens.refresh), await site.me(tokens)):
        assert answer.status_code == 200
        assert set_cookies(answer) == {}


@pytest.mark.parametrize("asked", ["", "Cookie", "cookies", "body", "cookie, cookie", "cookie;", "1"])
async def test_an_unknown_transport_is_refused(site: Api, asked: str) -> None:
    account, browser = await site.create_user(), Browser(site)
    headers = [("Origin", ORIGIN), ("X-Token-Transport", asked)]
    login = {"login": account.login, "password": PASSWORD}
    answer = await browser.send("POST", "/auth/login", login, headers=headers)
    assert error_of(answer) == (400, "unknown_transport")
    twice = [("Origin", ORIGIN), ("X-Token-Transport", "cookie"), ("X-Token-Transport", asked)]
    assert error_of(await browser.send("POST", "/auth/login", login, headers=twice)) == (400, "unknown_transport")
    assert await sessions_of(site, account) == {}


async def test_jwt_8_the_pair_of_cookies_fits_for_whoever_it_is(site: Api) -> None:
    _, viewer = await logged_in(site)
    _, superuser = await logged_in(site, "superuser", "admin", "moderator")
    sizes = [len(browser.cookies[ACCESS]) + len(browser.cookies[REFRESH]) for browser in (viewer, superuser)]
    assert sizes[0] == sizes[1] < 2048


# --- cookies work where tokens do

ROUTES: list[tuple[str, str, dict[str, Any] | None, int]] = [
    ("GET", "/users/me", None, 200),
    ("GET", "/users/me/sessions", None, 200),
    ("GET", "/users/me/devices", None, 200),
    ("GET", "/users/me/login-history", None, 200),
    ("GET", "/mfa", None, 200),
    ("GET", "/roles", None, 200),
    ("GET", "/permissions", None, 200),
    ("GET", "/services", None, 200),
    ("PATCH", "/users/me", {"full_name": "Neo"}, 200),
    ("POST", "/permissions/check", {"permission": "films:watch"}, 200),
    ("POST", "/permissions/check/batch", {"checks": [{"permission": "films:watch"}]}, 200),
    ("POST", "/mfa/totp", {"current_password": PASSWORD}, 201),
    ("POST", "/users/me/password", {"current_password": PASSWORD, "new_password": f"{PASSWORD} two"}, 204),
    ("POST", "/auth/logout-others", None, 204),
    ("DELETE", "/users/me", {"current_password": f"{PASSWORD} two"}, 204),
]


async def test_cookies_open_the_same_routes_as_bearer_tokens(site: Api) -> None:
    outcomes: list[list[int]] = []
    await site.create_user("superuser")  # who remains when the others delete themselves
    for by_cookie in (True, False):
        account, browser = await logged_in(site, "superuser")
        tokens = await site.log_in(account)
        statuses = []
        for method, path, body, _ in ROUTES:
            if by_cookie:
                answer = await browser.send(method, path, body)
            else:
                content = {} if body is None else {"json": body}
                answer = await site.http.request(method, f"{V1}{path}", headers=tokens.bearer, **content)
            statuses.append(answer.status_code)
        outcomes.append(statuses)
    assert outcomes[0] == outcomes[1] == [expected for *_, expected in ROUTES]


async def test_a_page_of_another_allowed_origin_may_use_them(site: Api) -> None:
    account, browser = await site.create_user(), Browser(site, FRONT)
    await browser.log_in(account)
    assert (await browser.send("PATCH", "/users/me", {"full_name": "Trinity"})).json()["full_name"] == "Trinity"


async def test_tabs_that_refresh_at_once_stay_logged_in(site: Api) -> None:
    account, browser = await logged_in(site)
    tabs = [browser.copy() for _ in range(8)]
    answers = await asyncio.gather(*(tab.send("POST", "/auth/refresh") for tab in tabs))
    assert {answer.status_code for answer in answers} == {200}
    assert len({tab.cookies[REFRESH] for tab in tabs}) == 1
    assert [await tab.who() for tab in tabs] == [account.login] * 8


# --- cookie and bearer together


async def test_cke_3_ordinary_routes(site: Api) -> None:
    """Bearer and cookie, each absent, good, bad; and both good, but of two sessions or two users."""
    account, browser = await logged_in(site)
    mine, own_other = browser.cookies[ACCESS], (await site.log_in(account)).access
    stranger, strangers = await site.as_role()
    _, dead = await logged_in(site)
    ended = dead.cookies[ACCESS]
    assert (await dead.send("POST", "/auth/logout")).status_code == 204
    bad = ["junk", "", ended, forged(site, strangers, aud="x"), f"{mine}x", f'"{mine}"']
    cases: list[tuple[str | None, str | None, object]] = [
        (None, None, NOBODY),
        (None, mine, account.login),
        (mine, None, account.login),
        (mine, mine, account.login),
        (own_other, mine, AMBIGUOUS),
        (mine, own_other, AMBIGUOUS),
        (strangers.access, mine, AMBIGUOUS),
        (mine, strangers.access, AMBIGUOUS),
        (strangers.access, None, stranger.login),
    ]
    for junk in bad:
        cases += [(None, junk, NOBODY), (junk, None, NOBODY), (junk, mine, NOBODY), (junk, junk, NOBODY)]
        cases.append((mine, junk, AMBIGUOUS))
    for bearer, cookie, expected in cases:
        asking = Browser(site, cookies={} if cookie is None else {ACCESS: cookie})
        headers = [] if bearer is None else [("Authorization", f"Bearer {bearer}")]
        answer = await asking.send("GET", "/users/me", headers=headers)
        outcome = answer.json()["login"] if answer.status_code == 200 else error_of(answer)
        assert outcome == expected, (bearer, cookie)


async def test_cke_3_a_bad_authorization_never_falls_back_to_the_cookie(site: Api) -> None:
    _, browser = await logged_in(site)
    for value in ("", "Bearer", "Basic Og==", "Cookie", f"bearer\t{browser.cookies[ACCESS]}", "null", "undefined"):
        for method, path in (("GET", "/users/me"), ("PATCH", "/users/me"), ("POST", "/auth/logout-all")):
            headers = [("Authorization", value), ("Origin", ORIGIN), ("X-CSRF-Token", browser.csrf)]
            body = {"full_name": "X"} if method == "PATCH" else None
            assert error_of(await browser.send(method, path, body, headers=headers)) == NOBODY, value
    assert isinstance(await browser.who(), str)


async def test_cke_3_refresh(site: Api) -> None:
    """Body and cookie, each absent, good, bad; refusals rotate nothing."""
    account, browser = await logged_in(site)
    other = await site.log_in(account)
    mine, session_id = browser.cookies[REFRESH], browser.cookies[REFRESH].partition(".")[0]
    refused = (401, "invalid_refresh_token")
    cases: list[tuple[str | None, str | None, tuple[int, str]]] = [
        (None, None, (422, "validation_error")),
        (None, "junk", refused),
        (None, "", refused),
        ("junk", None, refused),
        ("junk", "junk", refused),
        ("junk", mine, AMBIGUOUS),
        (mine, "junk", AMBIGUOUS),
        (mine, "", AMBIGUOUS),
        (other.refresh, mine, AMBIGUOUS),
        (mine, other.refresh, AMBIGUOUS),
    ]
    for given, cookie, expected in cases:
        asking = Browser(site, cookies={CSRF: browser.csrf} | ({} if cookie is None else {REFRESH: cookie}))
        answer = await asking.send("POST", "/auth/refresh", given and {"refresh_token": given})
        assert error_of(answer) == expected, (given, cookie)
    for bearer in ("junk", browser.cookies[ACCESS], other.access):
        headers = [("Authorization", f"Bearer {bearer}"), ("Origin", ORIGIN), ("X-CSRF-Token", browser.csrf)]
        assert error_of(await browser.send("POST", "/auth/refresh", headers=headers)) == AMBIGUOUS
    rows = await sessions_of(site, account)
    assert {row.generation for row in rows.values()} == {0}
    both = await browser.send("POST", "/auth/refresh", {"refresh_token": mine})
    assert both.json()["token_type"] == "Cookie"
    assert set_cookies(both).keys() == {ACCESS, REFRESH, CSRF}
    alone = await browser.send("POST", "/auth/refresh")
    assert alone.json()["token_type"] == "Cookie"
    by_body = await site.refresh(other.refresh)
    assert tokens_of(by_body).session_id == other.session_id
    assert set_cookies(by_body) == {}
    generations = {key.replace("-", ""): row.generation for key, row in (await sessions_of(site, account)).items()}
    assert generations == {session_id: 2, other.session_id.replace("-", ""): 1}


async def test_cke_3_logout(site: Api) -> None:
    """Cookies that are of another session than the token are a refusal: a 204 would look as if they had ended."""
    for bearer, cookie, expected, ended in [
        (None, None, 204, set()),
        (None, "mine", 204, {"mine"}),
        (None, "bad", 204, set()),
        ("mine", None, 204, {"mine"}),
        ("mine", "mine", 204, {"mine"}),
        ("mine", "bad", 204, {"mine"}),
        ("bad", None, 204, set()),
        ("bad", "mine", 400, set()),
        ("bad", "bad", 204, set()),
        ("other", "mine", 400, set()),
        ("mine", "other", 400, set()),
    ]:
        for in_body in (False, True):
            account, browser = await logged_in(site)
            other = await site.log_in(account)
            kept = browser.copy()
            here = {"mine": (kept.cookies[ACCESS], kept.cookies[REFRESH]), "other": (other.access, other.refresh)}
            here["bad"] = ("junk", "junk")
            headers = [("Origin", ORIGIN), ("X-CSRF-Token", kept.csrf)]
            body = None
            if bearer and in_body:
                body = {"refresh_token": here[bearer][1]}
            elif bearer:
                headers.append(("Authorization", f"Bearer {here[bearer][0]}"))
            jar = {} if cookie is None else dict(zip((ACCESS, REFRESH), here[cookie], strict=True))
            asking = Browser(site, cookies=jar)
            answer = await asking.send("POST", "/auth/logout", body, headers=headers)
            case = (bearer, cookie, in_body)
            assert answer.status_code == expected, case
            assert expected == 204 or error_of(answer) == AMBIGUOUS, case
            assert set_cookies(answer).keys() == ({ACCESS, REFRESH, CSRF} if cookie and expected == 204 else set())
            live = {
                "mine": await kept.who() == account.login,
                "other": (await site.me(other)).status_code == 200,
            }
            assert {name for name, alive in live.items() if not alive} == ended, case


async def test_cke_3_a_cookie_is_for_its_own_place(site: Api) -> None:
    """Each token in another cookie's name, in another header, or in the address."""
    _, browser = await logged_in(site)
    access, refresh, csrf = (browser.cookies[name] for name in (ACCESS, REFRESH, CSRF))
    before = await stored(site.resources)
    for jar in ({ACCESS: refresh}, {ACCESS: csrf}, {REFRESH: access}, {CSRF: access}, {DEVICE: access}):
        assert error_of(await Browser(site, cookies=jar).send("GET", "/users/me")) == NOBODY
    for jar in ({REFRESH: access, CSRF: csrf}, {REFRESH: csrf, CSRF: csrf}, {REFRESH: browser.cookies[DEVICE]}):
        answer = await Browser(site, cookies=jar).send("POST", "/auth/refresh")
        assert error_of(answer) == (401, "invalid_refresh_token")
    for query in (f"{ACCESS}={access}", f"access_token={access}", f"csrf={csrf}", f"Cookie={ACCESS}%3D{access}"):
        assert error_of(await Browser(site).send("GET", f"/users/me?{query}")) == NOBODY
        assert error_of(await Browser(site).send("POST", f"/auth/refresh?{query}")) == (422, "validation_error")
    headers = [("Origin", ORIGIN)]
    answer = await browser.send("PATCH", f"/users/me?X-CSRF-Token={csrf}", {"full_name": "X"}, headers=headers)
    assert error_of(answer) == (403, "csrf_refused")
    assert await stored(site.resources) == before


# --- junk


async def test_log_10_junk_cookies_open_nothing(site: Api) -> None:
    _, browser = await logged_in(site)
    good, refresh = browser.cookies[ACCESS], browser.cookies[REFRESH]
    assert isinstance(await browser.who(), str)
    names = [
        *(f"{letter}{ACCESS}".encode("latin-1") for letter in "\xa0\x85\x1c\x1f\xc2\v\f!.$"),
        *(f"{ACCESS}{letter}".encode("latin-1") for letter in "\xa0\x85\x1c\x1f \v!."),
        ACCESS.lower().encode(),
        ACCESS.upper().encode(),
        *(b"__Secure-auth_access", b"auth_access", b"access_token", b"__Host-access", b"__Host-auth_access[]"),
        *(b"%5F%5FHost-auth_access", b"__Host-auth%5Faccess", b"=__Host-auth_access", b'"__Host-auth_access"', b""),
        *(b"a=b, __Host-auth_access", b"$Version=1, __Host-auth_access", b"Cookie: __Host-auth_access"),
    ]
    lines = [name + b"=" + good.encode() for name in names]
    whole = f"{ACCESS}={good}".encode()
    lines += [
        *(whole + b"; " + whole, whole + b";" + f"{ACCESS}=junk".encode(), f"{ACCESS}=;".encode() + whole),
        *(b"", b";", b";;;=;=", b"=", b"\xff\xfe", b"a" * 8000, ACCESS.encode(), f"{ACCESS}=".encode()),
        *(f"{ACCESS}={good}=".encode(), f"{ACCESS}==", f'{ACCESS}="{good}"'.encode(), whole + b"\xa0", whole + b"%00"),
        *(f"{ACCESS}={good[:-1]}".encode(), f"{ACCESS}={good.swapcase()}".encode(), whole.replace(b";", b",")[:-9]),
        *(f"{ACCESS}={{}}".encode(), f"{ACCESS}=null".encode(), f"{ACCESS}=../../etc/passwd".encode()),
    ]
    lines = [line if isinstance(line, bytes) else line.encode() for line in lines]
    assert len(lines) >= 30
    for line in lines:
        asking = Browser(site)
        answer = await asking.send("GET", "/users/me", headers=[("Cookie", line)])
        assert error_of(answer) == NOBODY, line
        answer = await asking.send("PATCH", "/users/me", {"full_name": "X"}, headers=[("Cookie", line)])
        assert error_of(answer) == NOBODY, line
        swapped = line.replace(ACCESS.encode(), REFRESH.encode()).replace(good.encode(), refresh.encode())
        headers = [("Cookie", swapped), ("Origin", ORIGIN), ("X-CSRF-Token", browser.csrf)]
        answer = await asking.send("POST", "/auth/refresh", headers=headers)
        assert answer.status_code in {401, 422}, swapped
    two_headers = [("Cookie", whole), ("Cookie", f"{ACCESS}=junk")]
    assert error_of(await Browser(site).send("GET", "/users/me", headers=two_headers)) == NOBODY
    assert isinstance(await browser.who(), str)


async def test_a_sibling_hosts_cookie_beside_ours_changes_nothing(site: Api) -> None:
    """Browsers keep sibling hosts from setting __Host- names, but only where the name begins with exactly that."""
    account, browser = await logged_in(site)
    _, attacker = await logged_in(site)
    tossed = attacker.cookies[ACCESS]
    for name in (f"\xa0{ACCESS}", f"\x85{ACCESS}", f"{ACCESS}\xa0", "auth_access", "__Secure-auth_access"):
        for cookies in ({name: tossed, **browser.cookies}, {**browser.cookies, name: tossed}):
            assert await Browser(site, cookies=cookies).who() == account.login


# --- login


async def test_log_9_planted_cookies_never_survive_a_login(site: Api) -> None:
    """Fixation: whatever the browser held before, its own session is a new one, and the planted one is over."""
    account = await site.create_user()
    attacker, theirs = await logged_in(site)
    planted = theirs.copy()
    junk = dict.fromkeys((ACCESS, REFRESH, CSRF, DEVICE), "planted")
    for jar in (dict(planted.cookies), junk, {**planted.cookies, ACCESS: "junk"}):
        browser = Browser(site, cookies=dict(jar))
        answer = await browser.log_in(account)
        assert browser.cookies.keys() == jar.keys()
        assert [name for name, value in browser.cookies.items() if jar[name] == value] == []
        assert await browser.who() == account.login
        assert answer["session_id"] in await sessions_of(site, account)
    assert await planted.who() == 401
    assert {row.revoked_reason for row in (await sessions_of(site, attacker)).values()} == {"replaced_by_login"}
    assert len(await devices_of(site, attacker)) == 1


async def test_log_9_a_login_over_a_session_ends_it(site: Api) -> None:
    """Also with another account: nobody could use or end it any more. Failed logins end nothing."""
    account, browser = await logged_in(site)
    before, elsewhere = browser.copy(), Browser(site)
    await elsewhere.log_in(account)
    wrong = await browser.send("POST", "/auth/login", {"login": account.login, "password": "wrong"})
    assert error_of(wrong) == (401, "invalid_credentials")
    assert await before.who() == account.login
    await browser.log_in(await site.create_user())
    assert await before.who() == 401
    assert await elsewhere.who() == account.login, "another browser's"


async def test_log_9_step_up_renews_the_cookies(site: Api) -> None:
    account, browser = await logged_in(site)
    old = browser.copy()
    answer = await browser.send("POST", "/auth/step-up", {"current_password": PASSWORD})
    assert answer.json()["csrf_token"] == browser.csrf
    assert {name for name in old.cookies if old.cookies[name] != browser.cookies[name]} == {ACCESS, REFRESH, CSRF}
    assert await browser.who() == account.login
    assert await old.who() == 401
    assert error_of(await old.send("POST", "/auth/refresh")) == (401, "invalid_refresh_token")
    crossed = [("Origin", ORIGIN), ("X-CSRF-Token", old.csrf)]
    refused = await browser.send("PATCH", "/users/me", {"full_name": "X"}, headers=crossed)
    assert error_of(refused) == (403, "csrf_refused")


async def test_the_device_is_known_at_the_next_login(site: Api) -> None:
    account, browser = await logged_in(site)
    token = browser.cookies[DEVICE]
    assert (await browser.send("POST", "/auth/logout")).status_code == 204
    assert browser.cookies == {DEVICE: token}
    answer = await browser.send("POST", "/auth/login", {"login": account.login, "password": PASSWORD})
    again = set_cookies(answer)[DEVICE]
    assert (again.value, again.attributes["max-age"]) == (token, str(180 * 86_400)), "its life begins anew"
    assert len(await devices_of(site, account)) == 1
    assert {row.device_id for row in (await sessions_of(site, account)).values()} == {
        (await devices_of(site, account))[0].id
    }
    # Somebody else on the same browser is a device of their own.
    other = await site.create_user()
    await browser.log_in(other)
    assert browser.cookies[DEVICE] != token
    assert len(await devices_of(site, other)) == 1


async def test_a_trusted_device_is_asked_for_no_code(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, **SITE)
    account, browser = await logged_in(api)
    secret = await enrol(browser, clock.now)
    clock.forward(seconds=30)
    challenge = (await browser.log_in(account))["challenge"]
    body = {"challenge": challenge, "code": shown_at(secret, clock.now), "trust_device": True}
    assert (await browser.send("POST", "/auth/login/mfa", body)).status_code == 200
    await browser.send("POST", "/auth/logout")
    assert (await browser.log_in(account))["token_type"] == "Cookie"
    assert "challenge" in await Browser(api).log_in(account)
    assert len(await devices_of(api, account)) == 1


async def test_csrf_tokens_survive_a_rotation_of_the_secret_key(fresh: Fresh) -> None:
    settings = await fresh.settings(**SITE)
    before = await fresh.on(settings)
    account, browser = await logged_in(before)
    values = settings.model_dump() | {
        "secret_key": "another secret of the test suite, long enough",
        "secret_key_previous": settings.secret_key,
    }
    after = await fresh.on(Settings(_env_file=None, **values))
    moved = Browser(after, cookies=dict(browser.cookies))
    assert (await moved.send("PATCH", "/users/me", {"full_name": "Neo"})).status_code == 200
    assert (await moved.send("POST", "/auth/refresh")).status_code == 200
    assert moved.csrf != browser.csrf
    assert (await moved.send("PATCH", "/users/me", {"full_name": "Morpheus"})).status_code == 200
    back = Browser(before, cookies=dict(moved.cookies))  # without the new key its token says nothing
    assert error_of(await back.send("PATCH", "/users/me", {"full_name": "X"})) == (403, "csrf_refused")
    assert await moved.who() == account.login


# --- logout


async def test_out_4_logout_clears_whatever_the_cookies_are(fresh: Fresh) -> None:
    """Expired, ended, foreign and junk: answers that do not differ in a byte."""
    clock = StoppedClock()
    settings = await fresh.settings(**SITE)
    api = await fresh.on(settings, clock)
    _, live = await logged_in(api)
    set_before = {
        name: dict(cookie.attributes) for name, cookie in set_cookies(await live.send("POST", "/auth/refresh")).items()
    }
    _, ended = await logged_in(api)
    await ended.copy().send("POST", "/auth/logout")
    _, expired = await logged_in(api)
    clock.forward(days=40)
    foreign = Browser(
        api,
        cookies={
            ACCESS: forged(api, await fresh_tokens(api), iss="https://else.example"),
            REFRESH: f"{'0' * 32}.0.{'A' * 43}",
        },
    )
    jars = {
        "live": (await logged_in(api))[1].cookies,
        "ended": ended.cookies,
        "expired": expired.cookies,
        "foreign": foreign.cookies,
        "junk": {ACCESS: "junk", REFRESH: "junk", CSRF: "junk"},
        "empty": {ACCESS: "", REFRESH: ""},
        "access alone": {ACCESS: expired.cookies[ACCESS], CSRF: expired.csrf},
        "refresh alone": {REFRESH: expired.cookies[REFRESH], CSRF: expired.csrf},
        "odd": {ACCESS: "\xff;\xa0", REFRESH: "="},
    }
    answers = set()
    for name, jar in jars.items():
        browser = Browser(api, cookies={**jar, DEVICE: "kept"})
        answer = await browser.send("POST", "/auth/logout")
        assert answer.status_code == 204, name
        cleared = set_cookies(answer)
        assert cleared.keys() == {ACCESS, REFRESH, CSRF}, name
        for cookie in cleared.values():
            assert cookie.value == ""
            assert cookie.attributes == set_before[cookie.name] | {"max-age": "0"}, "else browsers keep it"
        assert browser.cookies[DEVICE] == "kept"
        varying = {"x-request-id"}
        answers.add((answer.content, tuple(item for item in answer.headers.multi_items() if item[0] not in varying)))
    assert len(answers) == 1


async def fresh_tokens(api: Api) -> Tokens:
    return (await api.as_role())[1]


async def test_out_4_without_cookies_there_is_nothing_to_clear(site: Api) -> None:
    answer = await Browser(site).send("POST", "/auth/logout")
    assert answer.status_code == 204
    assert set_cookies(answer) == {}


async def test_a_session_that_is_over_leaves_a_login_free(site: Api) -> None:
    """Dead cookies stand in nobody's way: neither for a login nor for a logout."""
    account, browser = await logged_in(site)
    other = await site.log_in(account)
    assert (await site.http.post(f"{V1}/auth/logout-all", headers=other.bearer)).status_code == 204
    assert await browser.who() == 401
    assert error_of(await browser.send("POST", "/auth/refresh")) == (401, "invalid_refresh_token")
    await browser.log_in(account)
    assert await browser.who() == account.login

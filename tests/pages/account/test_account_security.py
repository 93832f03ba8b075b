"""What others try with the viewer's pages: forged forms, hostile names, stolen and stale cookies, wrong ways back."""

import asyncio
import re

import pytest
from pydantic import SecretStr

from auth_service.config import Environment, Settings
from auth_service.pages.own_paths import own_path
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Api, Tokens, error_of
from tests.support.cookie_browser import ORIGIN as SECURE_ORIGIN
from tests.support.cookie_browser import running_site, set_cookies
from tests.support.reader import Page, Reader, signed_in
from tests.support.tcp_gate import gate_to

CHANGES = (
    ("/account/name", {"full_name": "Mallory"}),
    ("/account/sessions/end-others", {}),
    ("/account/email/verify", {}),
    ("/account/second-factor/start", {"current_password": PASSWORD}),
    ("/account/delete", {"current_password": PASSWORD}),
    ("/account/sign-out", {}),
)


async def csrf_of(reader: Reader) -> str:
    return (await reader.open("/account/name")).hidden("csrf")


async def test_cke_2_a_form_needs_our_origin_and_the_token_of_the_session(api: Api) -> None:
    account, reader = await signed_in(api)
    _, other = await signed_in(api)
    mine, theirs = await csrf_of(reader), await csrf_of(other)
    for path, fields in CHANGES:
        for origin in ("https://evil.example", "null", "http://localhost:8000.evil.example", None):
            headers = {} if origin is None else {"Origin": origin}
            answer = await reader.ask("POST", path, {"csrf": mine, **fields}, headers)
            assert answer.status_code == 403, (path, origin)
        assert "This form came from another page" in Page(answer).words
        for token in (None, "", theirs, mine[:-1], "я"):
            sent = fields if token is None else {"csrf": token, **fields}
            answer = await reader.ask("POST", path, sent, {"Origin": reader.origin})
            assert answer.status_code == 303, (path, token)
    page = await reader.open(answer.headers["location"])
    assert "The page was out of date" in page.words
    page = await reader.open("/account")
    assert page.path == "/account"
    assert (account.login in page.words, "Mallory" in page.words) == (True, False)


async def test_cke_2_nobody_is_signed_in_by_a_form_of_another_page(api: Api) -> None:
    attacker, victim = await api.create_user(), Reader(api)
    fields = {"login": attacker.login, "password": PASSWORD}
    theirs = Reader(api)
    token = (await theirs.open("/account/sign-in")).hidden("csrf")
    await victim.open("/account/sign-in")
    answer = await victim.ask("POST", "/account/sign-in", {**fields, "csrf": token}, {"Origin": "https://evil.example"})
    assert answer.status_code == 403
    for target, leads_to in (("/account/data", "/account/sign-in?next=/account/data"), ("//evil", "/account/sign-in")):
        sent = {**fields, "csrf": token, "next": target}
        answer = await victim.ask("POST", "/account/sign-in", sent, {"Origin": victim.origin})
        assert (answer.status_code, answer.headers["location"]) == (303, leads_to)
    assert (await victim.open("/account")).path == "/account/sign-in"


async def test_only_forms_are_read(api: Api) -> None:
    _, reader = await signed_in(api)
    headers = {"Origin": reader.origin, "Cookie": "; ".join(f"{k}={v}" for k, v in reader.cookies.items())}
    for kind, body in (
        ("application/json", b'{"csrf": "x"}'),
        ("text/plain", b"csrf=x"),
        ("multipart/form-data; boundary=x", b"--x--"),
    ):
        answer = await api.http.post("/account/name", content=body, headers={**headers, "Content-Type": kind})
        assert error_of(answer) == (415, "unsupported_media_type")
    form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"csrf=a&csrf=b", b"csrf=%ff", b"csrf=%00", b"a=" + b"&a=".join([b"1"] * 30), "csrf=я".encode()):
        answer = await api.http.post("/account/name", content=body, headers=form)
        assert answer.status_code == 400, body
        assert answer.headers["content-type"].startswith("text/html")
    answer = await api.http.post("/account/name", content=b"a=" + b"x" * 20_000, headers=form)
    assert error_of(answer) == (413, "body_too_large")


@pytest.mark.parametrize(
    "target",
    [
        *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)"),
        *("/account@evil.example", "/account/../api", "/account//evil.example", "/accountx", "/auth/docs"),
        *("/account?x=//evil\n", "/account/%2e%2e", "", "account", "/account#x", "/account/sign-in\r\nX: y"),
    ],
)
async def test_a_sign_in_leads_to_our_own_pages_only(api: Api, target: str) -> None:
    assert own_path(target) == "/account"
    assert own_path("/account/history?cursor=AbC-_1=") == "/account/history?cursor=AbC-_1="


async def test_a_way_back_that_was_sent_is_looked_at_too(api: Api) -> None:
    account, reader = await api.create_user(), Reader(api)
    await reader.open("/account/sign-in?next=https://evil.example")
    assert reader.page is not None
    assert reader.page.hidden("next") == "/account"
    page = await reader.send("/account/sign-in", login=account.login, password=PASSWORD, next="//evil.example/account")
    assert page.path == "/account"
    assert (await reader.open("/account/language?to=ru&next=//evil.example")).path == "/account"
    assert (await reader.open("/account/sign-in?next=//evil.example")).path == "/account"
    assert (await reader.open("/account/confirm?next=//evil.example")).hidden("next") == "/account"


# --- sessions


async def test_an_access_token_that_ran_out_is_renewed_in_two_tabs_at_once(api: Api) -> None:
    account, reader = await signed_in(api)
    csrf = await csrf_of(reader)
    for _ in range(3):
        before = reader.cookies.pop("auth_access"), reader.cookies["auth_refresh"]
        tabs = [Reader(api, cookies=dict(reader.cookies)) for _ in range(6)]
        pages = await asyncio.gather(*(tab.ask("GET", "/account") for tab in tabs))
        assert [page.status_code for page in pages] == [200] * 6
        assert len({tab.cookies["auth_refresh"] for tab in tabs} - {before[1]}) == 1
        reader.cookies = tabs[-1].cookies
    reader.cookies.pop("auth_access")
    answer = await reader.ask("POST", "/account/name", {"csrf": csrf, "full_name": "Ada"}, {"Origin": reader.origin})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account"), "a page that stood open for long"
    assert {"auth_access", "auth_refresh"} <= set_cookies(answer).keys()
    assert "Ada" in (await reader.open("/account")).words
    reader.cookies.pop("auth_access")
    answer = await reader.ask("GET", "/account/nothing-here")
    assert answer.status_code == 404
    assert account.login


async def test_renewed_tokens_reach_the_browser_with_a_refusal_too(api: Api) -> None:
    _, reader = await signed_in(api)
    reader.cookies.pop("auth_access")
    answer = await reader.ask("GET", "/account/history?cursor=" + "A" * 32)
    assert answer.status_code in {200, 404, 422}
    for _ in range(2):
        assert (await reader.open("/account")).path == "/account"


async def test_a_session_that_has_ended_leads_to_the_sign_in(api: Api) -> None:
    account, reader = await signed_in(api)
    tokens = Tokens(reader.cookies["auth_access"], reader.cookies["auth_refresh"], "")
    assert (await api.http.post(f"{V1}/auth/logout-all", headers=tokens.bearer)).status_code == 204
    csrf = "x"
    answer = await reader.ask("POST", "/account/sign-out", {"csrf": "x"}, {"Origin": reader.origin})
    assert answer.headers["location"] in {"/account", "/account/sign-in"}
    for _ in range(2):  # the cookies are left: another tab may have signed in meanwhile
        page = await reader.open("/account/email")
        assert page.path == "/account/sign-in?next=/account/email"
    answer = await reader.ask("POST", "/account/email/verify", {"csrf": csrf}, {"Origin": reader.origin})
    assert answer.status_code == 303
    page = await reader.send("/account/sign-in", login=account.login, password=PASSWORD)
    assert page.path == "/account/email"


async def test_log_9_a_sign_in_takes_no_session_over(api: Api) -> None:
    """Fixation: what an attacker planted in the browser is worth nothing after the sign-in."""
    _, attacker = await signed_in(api)
    planted = dict(attacker.cookies)
    victim_account, victim = await api.create_user(), Reader(api, cookies=dict(planted))
    victim.cookies.pop("auth_access")
    victim.cookies.pop("auth_refresh")
    await victim.open("/account/sign-in")
    victim.cookies |= {name: planted[name] for name in ("auth_access", "auth_refresh")}
    page = await victim.send("/account/sign-in", login=victim_account.login, password=PASSWORD)
    assert victim_account.login in page.words
    assert not {victim.cookies[name] for name in ("auth_access", "auth_refresh", "auth_csrf")} & set(planted.values())
    assert (await attacker.open("/account")).path == "/account/sign-in", "the planted session ended"


async def test_another_account_signs_in_where_one_is(api: Api) -> None:
    first, reader = await signed_in(api)
    second = await api.create_user()
    stale = await csrf_of(reader)
    copy = Reader(api, cookies={"auth_visitor": reader.cookies["auth_visitor"]})
    await copy.open("/account/sign-in")
    assert copy.page is not None
    fields = {"csrf": copy.page.hidden("csrf"), "login": second.login, "password": PASSWORD}
    await reader.ask("POST", "/account/sign-in", fields, {"Origin": reader.origin})
    page = await reader.open("/account")
    assert second.login in page.words
    assert first.login not in page.words
    answer = await reader.ask("POST", "/account/name", {"csrf": stale, "full_name": "X"}, {"Origin": reader.origin})
    assert answer.headers["location"] == "/account/name"
    assert "not given" in (await reader.open("/account")).words, "a form of the first one changes nothing of the second"


async def test_cke_1_cookies_of_pages_are_out_of_reach(shared_settings: Settings) -> None:
    async with running_site(shared_settings) as api:
        account = await api.create_user()
        reader = Reader(api, origin=SECURE_ORIGIN, headers={"Host": "auth.cinema.example"})
        answers = [await reader.ask("GET", "/account/sign-in")]
        token = Page(answers[0]).hidden("csrf")
        fields = {"csrf": token, "login": account.login, "password": PASSWORD}
        answers.append(await reader.ask("POST", "/account/sign-in", fields, {"Origin": reader.origin}))
        answers.append(await reader.ask("GET", "/account/language?to=ru"))
        found = {name: cookie for answer in answers for name, cookie in set_cookies(answer).items()}
        kinds = ("access", "refresh", "csrf", "device", "visitor", "language", "challenge")
        assert found.keys() == {f"__Host-auth_{kind}" for kind in kinds}
        for name, cookie in found.items():
            assert {"secure", "path", "samesite"} <= cookie.attributes.keys()
            assert "domain" not in cookie.attributes
            assert ("httponly" in cookie.attributes) == (name != "__Host-auth_csrf")


# --- what people are called


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)' x=\"",
    "\u202eevil\u2066 \u200f\u061c right to left",
    "{{ 7 * 191 }}{% raw %} %(name)s {0} %s",
    "\u0416" * 200,
)


@pytest.mark.parametrize("name", HOSTILE, ids=["markup", "quotes", "bidi", "templates", "long"])
async def test_hostile_names_and_programs_are_harmless_on_each_page(api: Api, name: str) -> None:
    agent = name.encode("ascii", "ignore").decode() or "x" * 400
    account, reader = await signed_in(api)
    reader.headers["User-Agent"] = agent
    await reader.open("/account/name")
    await reader.send("/account/name", full_name=name)
    tokens = await api.log_in(account, device_name=name[:100])
    answer = await api.http.post(
        f"{V1}/auth/login", json={"login": account.login, "password": "wrong"}, headers={"User-Agent": agent}
    )
    assert answer.status_code == 401
    assert tokens.session_id
    naming = re.findall(r'href="(/account/sessions/devices/[^"]*)"', (await reader.open("/account/sessions")).html)[0]
    await reader.open(naming)
    await reader.send(naming, name=name[:100])
    seen = ""
    for path in ("", "/name", "/sessions", "/history", naming.removeprefix("/account")):
        page = await reader.open(f"/account{path}")
        assert page.status == 200
        assert not re.findall(r"<script(?![^>]* src=)|<img src=x|\son\w+=['\"]|1337", page.html.replace("&#39;", ""))
        for shown in re.findall(r">([^<>]*\u202e[^<>]*)<", page.html):
            assert f"<bdi>{shown}</bdi>" in page.html, "it turns nothing around it"
        seen += page.words
    assert name in seen or name[:100] in seen


# --- where they are


async def test_pages_are_there_unless_the_cinema_has_its_own(fresh: Fresh, shared_settings: Settings) -> None:
    production = await fresh.on(shared_settings.model_copy(update={"app_env": Environment.PRODUCTION}))
    elsewhere = await fresh.on(shared_settings.model_copy(update={"account_url": "https://www.cinema.example/account"}))
    for path in ("/account/sign-in", "/forgot-password", "/reset-password", "/confirm-email"):
        page = Page(await production.http.get(path))
        assert page.status == 200
        assert not [word for word in ("docs", "openapi", "health", "api/") if word in page.html]
        assert error_of(await elsewhere.http.get(path)) == (404, "not_found")


async def test_a_service_that_cannot_answer_says_so_in_words(fresh: Fresh) -> None:
    settings = await fresh.settings()
    async with gate_to(settings.redis_url.get_secret_value()) as redis:
        api = await fresh.on(settings.model_copy(update={"redis_url": SecretStr(redis.url), "redis_timeout_ms": 150}))
        account = await api.create_user()
        reader = Reader(api)
        await reader.open("/account/sign-in")
        await redis.shut()
        page = await reader.send("/account/sign-in", login=account.login, password=PASSWORD)
        assert page.status == 503
        assert "We cannot answer at the moment" in page.words
        assert page.answer.headers["retry-after"]
        await redis.open()
        assert (await reader.sign_in(account)).path == "/account"

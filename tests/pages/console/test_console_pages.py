"""The console without scripts: what one can see and do there, in both languages, and what the audit trail has of it."""

import re
from typing import Any

import pytest
from sqlalchemy import text

from auth_service.pages.own_paths import own_path
from auth_service.sessions import sign_in_counts
from tests.conftest import Fresh
from tests.support.api import V1, Account, Api, StoppedClock, Tokens, unique
from tests.support.mailbox import newest
from tests.support.page_order import in_order
from tests.support.phone import enrol_phone
from tests.support.reader import Reader, newest_row, signed_in

HOSTILE = '\u202e"><script>alert(1)</script>' + "W" * 150
PAGES = (
    *("/console/users", "/console/users?search=nobody-at-all", "/console/users/new", "/console/users/{user}"),
    *("/console/users/{user}?permission=films:watch", "/console/users/{user}?permission=no:no&at=2090-01-01T00:00"),
    *("/console/users/{user}/sessions", "/console/users/{user}/history", "/console/users/{user}/grant"),
    *(
        "/console/users/{user}/edit",
        "/console/users/{user}/roles/viewer",
        "/console/users/{user}/disable",
        "/console/users/{user}/delete",
    ),
    *("/console/audit", "/console/audit/{row}", "/console/audit/{row}/people", "/console/sign-ins", "/console/health"),
    *("/console/sign-ins?days=7", "/console/confirm"),
)


async def trail(api: Api, about: Account) -> list[dict[str, Any]]:
    _, tokens = await api.as_role("superuser")
    answer = await api.http.get(f"{V1}/admin/audit?target={about.id}", headers=tokens.bearer)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def hostile_account(api: Api, admin: Tokens) -> Account:
    account = await api.create_user(login=unique("reader"))
    sent = {"headers": {"User-Agent": HOSTILE[1:]}}
    body = {"login": account.login, "password": account.password, "device_name": HOSTILE[:100]}
    assert (await api.http.post(f"{V1}/auth/login", json=body, **sent)).status_code == 200
    await api.http.patch(f"{V1}/admin/users/{account.id}", json={"full_name": HOSTILE}, headers=admin.bearer)
    granted = {"reason": HOSTILE, "valid_until": "2099-01-01T00:00:00Z"}
    answer = await api.http.put(f"{V1}/users/{account.id}/roles/moderator", json=granted, headers=admin.bearer)
    assert answer.status_code == 200, answer.text
    return account


@pytest.mark.long
@pytest.mark.parametrize("language", ["en", "ru"])
async def test_each_page_is_in_order_and_shows_hostile_texts_as_they_are(api: Api, language: str) -> None:
    _, tokens = await api.as_role("admin")
    account = await hostile_account(api, tokens)
    _, reader = await signed_in(api, "superuser", language=language)
    row, shown = await newest_row(api, account, tokens), 0
    for path in (path.format(user=account.id, row=row) for path in PAGES):
        page = await reader.open(path)
        assert page.path == path
        in_order(page, language, names=True)
        assert "<script>alert" not in page.html
        found = re.findall(r"(.{5})\u202e&#34;&gt;&lt;script&gt;", page.html)
        assert set(found) <= {"<bdi>", 'lue="'}, path
        shown += len(found)
    assert shown >= 8


async def test_a_list_goes_on_by_its_address_and_keeps_its_filters(api: Api) -> None:
    name = unique("many")
    for number in range(21):
        await api.create_user(login=f"{name}-{number:02}")
    _, reader = await signed_in(api, "admin")
    page = await reader.open(f"/console/users?search={name}&role=&active=true&mfa=")
    logins = re.findall(rf"<bdi>({name}-\d\d)</bdi>", page.html)
    (following,) = re.findall(r'<a href="(\?[^"]*)" rel="next">', page.html)
    assert f"search={name}&amp;active=true&amp;cursor=" in following
    page = await reader.open("/console/users" + following.replace("&amp;", "&"))
    logins += re.findall(rf"<bdi>({name}-\d\d)</bdi>", page.html)
    assert logins == [f"{name}-{number:02}" for number in range(21)]
    page = await reader.open(f"/account/language?to=ru&next=/console/users%3Fsearch%3D{name}%26active%3Dfalse")
    assert page.path == f"/console/users?search={name}&active=false"
    assert "Никого не нашлось" in page.words
    page = await reader.open("/console/users?role=No-Role&cursor=x")
    assert (page.status, page.error("role")) == (422, "Это не подходит. Напишите иначе.")


async def test_somebody_is_invited_and_sets_a_password_by_mail(api: Api) -> None:
    _, reader = await signed_in(api, "admin")
    login = unique("invited")
    await reader.open("/console/users/new")
    page = await reader.send("/console/users/new", login="a b", email="nobody")
    assert (page.status, bool(page.error("login")), bool(page.error("email"))) == (422, True, True)
    fields = {"login": login, "email": f"{login}@example.com", "full_name": "Анна"}
    page = await reader.send("/console/users/new", **fields, roles="no-such-role")
    assert page.error("roles").startswith("There is no role of this name.")
    page = await reader.send("/console/users/new", **fields, roles="superuser")
    assert "You can only manage what you hold yourself" in page.words
    page = await reader.send("/console/users/new", **fields, roles="moderator")
    assert "a mail with the link to set a password is on its way" in page.words
    assert {"moderator", "viewer"} <= set(re.findall(r"<bdi>([^<]*)</bdi>", page.html))
    assert (await newest(api, f"{login}@example.com", "reset_password")).token
    page = await reader.send("/console/users/new", login=login, email="another@example.com")
    assert page.error("login") == "This login is taken, or looks like one that is."


async def test_why_not_leads_to_the_grant_that_changes_it(api: Api) -> None:
    account, (_, reader) = await api.create_user(), await signed_in(api, "admin")
    own = f"/console/users/{account.id}"
    page = await reader.open(f"{own}?permission=films:watch")
    assert f"{account.login} may not films:watch" in page.words
    grants = re.findall(rf'href="({own}/grant\?role=[a-z-]+)"', page.html)
    assert f"{own}/grant?role=subscriber" in grants
    assert f"{own}/grant?role=superuser" not in grants, "which an admin lacks something of"
    page = await reader.open(f"{own}/grant?role=subscriber")
    assert 'value="subscriber"' in page.html
    offered = re.findall(r'<option value="([a-z-]+)">', page.html)
    assert {"subscriber", "viewer"} <= set(offered)
    assert "superuser" not in offered
    dates = {"valid_from": "2098-01-31T12:00", "valid_until": "2097-01-01T00:00"}
    page = await reader.send(f"{own}/grant", role="subscriber", **dates)
    assert "The end must lie after the beginning" in page.words
    assert 'value="2098-01-31T12:00"' in page.html, "what was typed is there still"
    page = await reader.send(f"{own}/grant", role="superuser")
    assert (page.status, "You can only manage what you hold yourself" in page.words) == (403, True)
    reader.cookies["auth_timezone"] = "Europe/Moscow"
    page = await reader.send(f"{own}/grant", role="subscriber", valid_until="2099-01-31T12:00", reason="order 4711")
    assert f"{account.login} + gains films:watch until 31 January 2099, 12:00 MSK" in page.words
    assert len(await trail(api, account)) == 0, "not yet"
    page = await reader.fill(f"{own}/grant", {"do": "edit"})
    assert 'value="2099-01-31T12:00"' in page.html
    await reader.fill(f"{own}/grant")
    page = await reader.fill(f"{own}/grant", {"do": "make"})
    assert (page.path, "The role is granted." in page.words) == (own, True)
    row = (await trail(api, account))[0]
    assert (row["action"], row["reason"]) == ("role.granted", "order 4711")
    assert row["after"]["valid_until"] == "2099-01-31T09:00:00+00:00", "the reader's noon"
    page = await reader.open(f"{own}?permission=films:watch")
    assert f"{account.login} may films:watch" in page.words
    assert "31 January 2099, 12:00 MSK" in page.words
    page = await reader.open(f"{own}/grant?role=subscriber")
    (begin,) = re.findall(r'name="valid_from" type="datetime-local" value="([^"]+)"', page.html)
    assert 'value="2099-01-31T12:00:00"' in page.html
    dates = {"valid_from": begin, "valid_until": "2099-02-28T12:00:00"}
    await reader.send(f"{own}/grant", role="subscriber", **dates, do="make")
    after = (await trail(api, account))[0]
    assert after["after"]["valid_from"][:19] == row["after"]["valid_from"][:19], "only the end is another one"
    assert after["after"]["valid_until"] == "2099-02-28T09:00:00+00:00"
    page = await reader.open(f"{own}?permission=films:watch&at=2100-01-01T00:00")
    assert "The grant of subscriber ended on" in page.words
    page = await reader.open(f"{own}?permission=films:watch&at=2001-01-01T00:00")
    assert (page.status, "What was then is not known" in page.words) == (409, True)
    await reader.open(f"{own}/roles/subscriber")
    page = await reader.send(f"{own}/roles/subscriber", do="make")
    assert "The role is taken away." in page.words
    assert (await trail(api, account))[0]["action"] == "role.revoked"
    page = await reader.send(f"{own}/roles/subscriber")
    assert page.status == 404


@pytest.mark.parametrize(
    ("act", "action", "said"),
    [
        ("unlock", "user.unlocked", "The account is unlocked"),
        ("log-out", "user.logged_out", "signed out everywhere"),
        ("send-password-reset", "user.password_reset_sent", "A mail with the link"),
        ("reset-second-factor", "user.mfa_reset", "Two-step sign-in is off"),
        ("disable", "user.disabled", "The account is disabled"),
        ("delete", "user.deleted", "The account is deleted"),
    ],
)
async def test_an_act_is_done_and_in_the_audit_trail(api: Api, act: str, action: str, said: str) -> None:
    account, tokens = await api.as_role()
    if act == "reset-second-factor":
        await enrol_phone(api, tokens)
    _, reader = await signed_in(api, "admin")
    path = f"/console/users/{account.id}/{act}"
    page = await reader.open(f"/console/users/{account.id}")
    assert f'href="{path}"' in page.html
    asks = 'name="reason"' in (await reader.open(path)).html
    if asks:
        page = await reader.send(path, reason="", login=account.login)
        assert (page.status, '<p class="error" id="reason-error">' in page.html) == (422, True)
        assert await trail(api, account) == []
    if act == "delete":
        for other in ("somebody-else", "", "no login!"):
            page = await reader.send(path, reason="asked for it", login=other)
            assert page.error("login") == "This is not the login of the account."
        assert await trail(api, account) == []
    page = await reader.send(path, reason="asked for it", login=account.login.upper())
    assert said in page.words
    row = (await trail(api, account))[0]
    assert (row["action"], row["reason"]) == (action, "asked for it" if asks else None)


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_login_name_and_address_are_changed_after_a_look_at_what_that_means(api: Api, language: str) -> None:
    account, taken = await api.create_user(), await api.create_user()
    session = await api.log_in(account)
    _, reader = await signed_in(api, "admin", language=language)
    own, path = f"/console/users/{account.id}", f"/console/users/{account.id}/edit"
    assert f'href="{path}"' in (await reader.open(own)).html
    in_order(await reader.open(path), language, names=True)
    page = await reader.fill(path)
    assert (page.status, page.path) == (422, path), "nothing was changed"
    page = await reader.fill(path, {"login": "", "email": "nobody"})
    assert (page.status, bool(page.error("login")), bool(page.error("email"))) == (422, True, True)
    address = f"{unique('new')}@example.com"
    await reader.open(path)
    page = await reader.fill(path, {"login": taken.login, "full_name": HOSTILE[:100], "email": address})
    in_order(page, language, names=True)
    assert (page.html.count("<li>"), "<script>alert" in page.html, address in page.words) == (4, False, True)
    assert await trail(api, account) == [], "not yet"
    page = await reader.fill(path, {"do": "make"})
    assert page.error("login"), "it is taken"
    name = unique("renamed")
    page = await reader.fill(path, {"login": name, "full_name": "", "reason": "asked by mail"})
    page = await reader.fill(path, {"do": "edit"})
    assert page.fields(path)["email"] == address, "what was typed is there still"
    await reader.fill(path)
    page = await reader.fill(path, {"do": "make"})
    assert (page.path, name in page.words, address in page.words) == (own, True, True)
    row = (await trail(api, account))[0]
    assert (row["action"], row["after"], row["reason"]) == (
        "user.updated",
        {"changed": ["email", "login"]},
        "asked by mail",
    )
    assert (await newest(api, address, "verify_email")).link
    assert (await newest(api, account.email, "email_changed")).text
    me = (await api.me(session)).json()
    assert (me["login"], me["email"], me["email_verified"]) == (name, address, False), "the session lives"


async def test_a_change_of_an_account_that_somebody_changed_meanwhile_is_shown_anew(api: Api) -> None:
    account, (_, tokens) = await api.create_user(), await api.as_role("admin")
    admin, reader = await signed_in(api, "admin")
    path, there = f"/console/users/{account.id}/edit", f"{V1}/admin/users/{account.id}"
    await reader.open(path)
    await reader.fill(path, {"full_name": "Anna"})
    await api.http.patch(there, json={"full_name": "Clara"}, headers=tokens.bearer)
    page = await reader.fill(path, {"do": "make"})
    assert ("Somebody has changed it since you opened it." in page.words, "Clara → Anna" in page.words) == (True, True)
    assert (await api.http.get(there, headers=tokens.bearer)).json()["full_name"] == "Clara"
    await reader.fill(path, {"do": "make"})
    assert (await api.http.get(there, headers=tokens.bearer)).json()["full_name"] == "Anna"
    assert f"/console/users/{admin.id}/edit" not in (await reader.open(f"/console/users/{admin.id}")).html
    assert (await reader.open(f"/console/users/{admin.id}/edit")).path == "/account", "one's own has a page of its own"


async def test_an_account_is_enabled_again(api: Api) -> None:
    account, (_, reader) = await api.create_user(active=False), await signed_in(api, "admin")
    page = await reader.open(f"/console/users/{account.id}")
    assert f"/console/users/{account.id}/disable" not in page.html
    await reader.open(f"/console/users/{account.id}/enable")
    page = await reader.send(f"/console/users/{account.id}/enable", reason="paid")
    assert "The account is enabled." in page.words
    assert (await trail(api, account))[0]["action"] == "user.enabled"


async def test_a_role_of_somebody_is_taken_away_after_a_look(api: Api) -> None:
    account, (_, reader) = await api.create_user("subscriber"), await signed_in(api, "admin")
    own, path = f"/console/users/{account.id}", f"/console/users/{account.id}/roles/subscriber"
    await reader.open(f"{own}/grant")
    page = await reader.send(f"{own}/grant", role="nothing-like-it")
    assert page.error("role").startswith("There is no role")
    await reader.open(path)
    assert "1 user loses" in (await reader.fill(path)).words
    assert await trail(api, account) == [], "not yet"
    page = await reader.fill(path, {"do": "make"})
    assert (page.path, "The role is taken away." in page.words) == (own, True)
    assert (await trail(api, account))[0]["action"] == "role.revoked"


async def test_a_session_of_somebody_ends(api: Api) -> None:
    account, tokens = await api.as_role()
    _, reader = await signed_in(api, "admin")
    page = await reader.open(f"/console/users/{account.id}/sessions")
    (end,) = re.findall(r'action="([^"]*/do/end/[^"]*)"', page.html)
    page = await reader.send(end)
    assert (page.path, "The session has ended." in page.words) == (f"/console/users/{account.id}/sessions", True)
    assert "Signed in nowhere." in page.words
    assert (await api.me(tokens)).status_code == 401
    assert (await trail(api, account))[0]["action"] == "session.ended"


async def test_nobody_acts_on_those_above_them_or_on_themselves(api: Api) -> None:
    above, (admin, reader) = await api.create_user("superuser"), await signed_in(api, "admin")
    await reader.open(f"/console/users/{above.id}/disable")
    page = await reader.send(f"/console/users/{above.id}/disable", reason="no reason")
    assert (page.status, "You can only manage what you hold yourself" in page.words) == (403, True)
    assert await trail(api, above) == []
    page = await reader.open(f"/console/users/{admin.id}")
    assert "/disable" not in page.html
    assert "/delete" not in page.html
    await reader.open(f"/console/users/{admin.id}/delete")
    assert (await reader.send(f"/console/users/{admin.id}/delete", reason="tired", login=admin.login)).status == 403


async def test_what_is_not_offered_is_refused_if_it_is_sent_anyway(api: Api) -> None:
    account, (_, reader) = await api.create_user(), await signed_in(api, "moderator")
    page = await reader.open(f"/console/users/{account.id}")
    assert account.email not in page.html, "a moderator sees no addresses"
    offered = set(re.findall(rf'href="/console/users/{account.id}(/[^"]*)"', page.html))
    assert offered == set()
    reader.page = await reader.open("/account/name")  # for its token
    name = reader.page
    for path in (
        "/edit",
        "/grant",
        "/roles/viewer",
        "/disable",
        "/delete",
        "/log-out",
        "/sessions/do/end/" + str(account.id),
    ):
        reader.page = name
        page = await reader.send(f"/console/users/{account.id}{path}", reason="because", role="moderator")
        assert (page.status, "takes a permission that your roles do not give" in page.words) == (403, True), path
    assert await trail(api, account) == []


async def test_cke_2_a_form_of_the_console_needs_our_origin_and_the_token_of_the_session(api: Api) -> None:
    account, (_, reader) = await api.create_user(), await signed_in(api, "admin")
    path = f"/console/users/{account.id}/log-out"
    csrf = (await reader.open(path)).hidden("csrf")
    answer = await reader.ask("POST", path, {"csrf": csrf}, {"Origin": "https://evil.example"})
    assert answer.status_code == 403
    answer = await reader.ask("POST", path, {"csrf": csrf[:-1]}, {"Origin": reader.origin})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert await trail(api, account) == []


async def test_the_audit_trail_is_asked_by_names_and_says_who_gained(api: Api) -> None:
    account, (admin, reader) = await api.create_user(), await signed_in(api, "admin")
    await reader.open(f"/console/users/{account.id}/grant")
    await reader.send(f"/console/users/{account.id}/grant", role="subscriber", do="make")
    page = await reader.open(f"/console/audit?actor={admin.login}&action=role.*&target=&since=2026-01-01T00:00")
    (row,) = re.findall(r'href="(/console/audit/\d+)"', page.html)
    assert f"Role granted {await moment_of(page.html)} · user {admin.login} → user {account.login}" in page.words
    assert "role: subscriber" in page.words
    page = await reader.open(row)
    assert "Hash up to here" in page.words
    page = await reader.open(f"{row}/people")
    assert "1 account gained, 0 lost" in page.words
    assert "+ films:watch" in page.words
    page = await reader.open("/console/audit?actor=nobody-of-this-name")
    assert (page.status, "Somebody who was deleted is found by id." in page.words) == (404, True)
    page = await reader.open("/console/audit?since=yesterday")
    assert (page.status, page.error("since")) == (
        422,
        "This is not a date and time. Write it like 2030-01-31T12:00.",
    )


async def moment_of(html: str) -> str:
    return re.findall(r"<time[^>]*>([^<]*)</time>", html)[0]


async def test_sign_ins_and_failures_are_counted(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, reader = await signed_in(api, "admin")
    for _ in range(3):
        await api.log_in_as(account.login, "wrong password")
    clock.forward(days=2)
    await api.log_in(account)
    page = await reader.open("/console/sign-ins?days=7")
    assert re.findall(r"signed in: (\d+) refused: (\d+)", page.words) == [("1", "0"), ("2", "3")]
    assert "Wrong password 3" in page.words
    bars = re.findall(r'<rect class="failed" x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', page.html)
    assert bars == [("32.0", "96.0")], "above one that succeeded, of five"
    assert page.html.count('<th scope="row">') == 24 + 7 + 1
    page = await reader.open("/console/sign-ins?days=1")
    assert ("None was, in this time." in page.words, page.html.count("<svg class=")) == (True, 1)


async def test_sign_ins_that_take_too_long_to_count_lead_to_fewer_days(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await fresh.api()
    _, reader = await signed_in(api, "admin")
    monkeypatch.setattr(sign_in_counts, "SECONDS", 0.2)
    async with api.resources.db.begin() as session:
        await session.execute(text("LOCK TABLE login_history IN ACCESS EXCLUSIVE MODE"))
        page = await reader.open("/console/sign-ins")
    assert (page.status, "There were too many sign-ins to be counted in time." in page.words) == (503, True)
    assert 'href="/console/sign-ins?days=1"' in page.html


async def test_health_names_keys_and_versions(api: Api) -> None:
    _, reader = await signed_in(api, "admin")
    page = await reader.open("/console/health")
    (key,) = (await api.http.get("/.well-known/jwks.json")).json()["keys"]
    assert f"{key['kid']} signs" in page.words
    assert "State: ready" in page.words
    assert "PostgreSQL well" in page.words


async def test_the_account_leads_to_the_console_for_those_who_may_read_it(api: Api) -> None:
    for role, there in (("viewer", False), ("moderator", True)):
        _, reader = await signed_in(api, role)
        page = await reader.open("/account")
        assert ('href="/console"' in page.html) == there
        page = await reader.open("/console")
        assert page.path == ("/console/users" if there else "/console")
        assert ("None of your roles opens any of it." in page.words) != there


async def test_mfa_7_a_second_factor_is_asked_for_and_then_one_is_back(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, admin_mfa=True)
    account, somebody = await api.create_user("superuser"), await api.create_user()
    reader = Reader(api)
    await reader.sign_in(account)
    assert 'href="/console"' in (await reader.open("/account")).html
    page = await reader.open("/console/users?search=x")
    assert page.path == "/console/confirm?next=/console/users%3Fsearch%3Dx"
    assert 'href="/account/second-factor"' in page.html
    codes = await enrol_phone(api, await api.log_in(account))
    await reader.sign_in(account)
    page = await reader.send("/account/sign-in/code", code=codes[0])
    page = await reader.open("/console/users?search=x")
    assert page.path == "/console/users?search=x"

    clock.forward(minutes=16)
    assert (await reader.open("/console/audit")).status == 200, "reading is open for the whole session"
    disable = f"/console/users/{somebody.id}/disable"
    page = await reader.open(disable)
    assert page.path == f"/console/confirm?next={disable}"
    assert (await reader.send("/console/confirm", code="000000")).error("code")
    page = await reader.send("/console/confirm", code=codes[1], next=disable)
    assert (page.path, "Now you can continue." in page.words) == (disable, True)
    clock.forward(minutes=16)
    page = await reader.send(disable, reason="fraud")
    assert page.path == f"/console/confirm?next={disable}", "it ran out while the reason was written"
    await reader.send("/console/confirm", code=codes[2], next=disable)
    page = await reader.send(disable, reason="fraud")
    assert "The account is disabled" in page.words


@pytest.mark.parametrize(
    ("given", "leads_to"),
    [
        ("/console/users?search=a%40b&cursor=Ab_-1", None),
        ("/console/permissions/films:watch", None),
        ("/console//evil.example", "/account"),
        ("/console/../api", "/account"),
        ("/consolex", "/account"),
        ("/console@evil.example", "/account"),
        ("/console/users?x=%0", "/account"),
        ("/console/users\r\nX: y", "/account"),
    ],
)
def test_a_sign_in_leads_back_to_the_console_and_to_nowhere_else(given: str, leads_to: str | None) -> None:
    assert own_path(given) == (leads_to or given)

"""E-mail addresses as people read them: in the letters that were typed, unless those are a trick."""

from datetime import UTC, datetime

import pytest

from auth_service.config import Settings
from auth_service.mail.addresses import shown
from auth_service.mail.message import to_message
from auth_service.mail.texts import Letter
from auth_service.models import new_id
from auth_service.users.identifiers import canonical_email
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Api, Tokens, unique
from tests.support.command import Command
from tests.support.mailbox import letters, newest


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("тест@ПРИМЕР.рф", "тест@пример.рф"),
        ("x@bücher.example.com", "x@bücher.example.com"),
        ("x@straße.de", "x@straße.de"),
        ("x@日本語テスト.jp", "x@日本語テスト.jp"),
        ("x@नेटवर्क.भारत", "x@नेटवर्क.भारत"),
        ("x@почта.mail.ru", "x@почта.mail.ru"),
        ("x@соре.рф", "x@соре.рф"),  # at home among its own letters
        ("x@EXAMPLE.com", "x@example.com"),
    ],
)
def test_an_address_is_shown_as_it_was_typed(typed: str, expected: str) -> None:
    stored = canonical_email(typed)[0]
    assert stored.rpartition("@")[2].isascii()
    assert shown(stored) == expected
    assert canonical_email(expected) == canonical_email(typed)


@pytest.mark.parametrize(
    "trick",
    ["x@аррӏе.com", "x@gооgle.com", "x@ɡoogle.com", "x@соре.com", "x@ѕсоре.example.com", "x@pаypal.com", "x@mıke.org"],
)
def test_reg_3_a_domain_that_imitates_another_is_shown_in_ascii(trick: str) -> None:
    stored = canonical_email(trick)[0]
    assert "xn--" in stored
    assert shown(stored) == stored


@pytest.mark.parametrize("stored", ["x@xn--a.com", "x@xn--.com", "xn--x@example.com", "", "xn--"])
def test_what_is_no_name_of_idna_2008_stays_as_it_is(stored: str) -> None:
    assert shown(stored) == stored


def test_the_header_of_a_mail_has_the_ascii_form() -> None:
    stored = canonical_email("anna@пример.рф")[0]
    message = to_message("Cinema <no-reply@cinema.example>", Letter(stored, "s", "text"), new_id(), _now())
    assert message["To"] == stored
    assert bytes(message).isascii()


def _now() -> datetime:
    return datetime.now(UTC)


async def _account(api: Api, email: str) -> tuple[dict[str, str], Tokens]:
    login = unique("user")
    body = {"login": login, "email": email, "password": PASSWORD}
    made = await api.http.post(f"{V1}/auth/register", json=body)
    assert made.status_code == 201, made.text
    tokens = (await api.log_in_as(email, PASSWORD)).json()
    return made.json(), Tokens(tokens["access_token"], "", "")


async def test_an_address_is_shown_in_its_own_letters_everywhere(api: Api, shared_settings: Settings) -> None:
    name = unique("anna")
    email, ascii_form = f"{name}@пример.рф", f"{name}@xn--e1afmkfd.xn--p1ai"
    made, tokens = await _account(api, email.upper().replace(name.upper(), name))
    assert made["email"] == email
    assert (await api.me(tokens)).json()["email"] == email
    _, boss = await api.as_role("superuser")
    admins = await api.http.get(f"{V1}/admin/users/{made['id']}", headers=boss.bearer)
    assert admins.json()["email"] == email
    for text in (email, email.upper(), f"{name}@ПРИМЕР.рф", ascii_form):
        found = await api.http.get(f"{V1}/admin/users", params={"search": text}, headers=boss.bearer)
        assert [item["email"] for item in found.json()["items"]] == [email], text
    command = Command(shared_settings)
    for options in ((), ("--json",)):
        assert email in await command.does("users", "list", "--search", email, *options)

    new = f"{name}@новый.рф"
    (to_old,) = await letters(api, ascii_form)  # what a mail server is given
    confirmed = await api.http.post(f"{V1}/auth/email/confirm", json={"token": to_old.token})
    assert confirmed.json()["email"] == email
    body = {"email": new, "current_password": PASSWORD}
    asked = await api.http.post(f"{V1}/users/me/email", json=body, headers=tokens.bearer)
    assert asked.json() == {"email": new, "waiting_for": ["old", "new"]}
    assert f"another e-mail address: {new}" in (await newest(api, ascii_form, "email_change_old")).text
    exported = (await api.http.get(f"{V1}/users/me/export", headers=tokens.bearer)).json()
    assert (exported["account"]["email"], exported["email_change"]["email"]) == (email, new)
    new_ascii = canonical_email(new)[0]
    for address, kind in ((ascii_form, "email_change_old"), (new_ascii, "email_change_new")):
        answer = await api.http.post(
            f"{V1}/auth/email/confirm", json={"token": (await newest(api, address, kind)).token}
        )
        assert answer.json()["email"] == new
    assert f"the e-mail address {new}." in (await newest(api, ascii_form, "email_changed")).text
    # Machines get the form that every mail server takes.
    events = await api.resources.hot.fetch("SELECT data FROM outbox WHERE kind = 'email_changed' ORDER BY number DESC")
    assert new_ascii in events[0]["data"]
    patch = await api.http.patch(
        f"{V1}/admin/users/{made['id']}", json={"email": f"{name}@ещё.рф"}, headers=boss.bearer
    )
    assert patch.json()["email"] == f"{name}@ещё.рф"
    assert f"the e-mail address {name}@ещё.рф." in (await newest(api, new_ascii, "email_changed")).text


async def test_mails_that_are_kept_for_developers_are_found_by_the_address_as_shown(fresh: Fresh) -> None:
    api = await fresh.api(app_env="development")
    await _account(api, "anna@пример.рф")
    for to in ("anna@пример.рф", "anna@xn--e1afmkfd.xn--p1ai"):
        kept = await api.http.get("/dev/mails.json", params={"to": to})
        assert [(mail["to"], mail["kind"]) for mail in kept.json()] == [("anna@пример.рф", "verify_email")]

"""Registration: one account for all spellings of a login or an e-mail address, and passwords as they were typed."""

import asyncio
import unicodedata
from typing import Any
from uuid import UUID

import httpx
import pytest

from auth_service.core.passwords.hashing import MAX_LENGTH
from auth_service.users.identifiers import canonical_email, canonical_login
from tests.support.api import PASSWORD, V1, Api, error_of, tokens_of, unique

REGISTER = f"{V1}/auth/register"


async def register(api: Api, login: str, *, email: str | None = None, password: str = PASSWORD) -> httpx.Response:
    body = {"login": login, "email": email or f"{unique('mail')}@example.com", "password": password}
    return await api.http.post(REGISTER, json=body)


async def log_in(api: Api, login: str, password: str = PASSWORD) -> httpx.Response:
    return await api.http.post(f"{V1}/auth/login", json={"login": login, "password": password})


async def test_a_new_account_can_log_in_and_watches_trailers(api: Api) -> None:
    login = unique("Анна")
    body = {"login": login, "email": f"{unique('anna')}@example.com", "password": PASSWORD, "full_name": "Анна К."}
    # A login of one script: the letter x of `unique` is Latin.
    body["login"] = login.replace("x", "-")
    registered = await api.http.post(REGISTER, json=body)
    assert registered.status_code == 201, registered.text
    shown = registered.json()
    assert (shown["login"], shown["full_name"], shown["is_active"]) == (body["login"], "Анна К.", True)
    assert UUID(shown["id"]).version == 7
    tokens = tokens_of(await log_in(api, body["login"].upper()))
    assert (await api.check(tokens, "playback:preview"))["allowed"] is True
    assert (await api.check(tokens, "films:watch"))["allowed"] is False


def look_alikes(login: str) -> dict[str, str]:
    """Eight ways to write a login that people would take for the same."""
    return {
        "upper case": login.upper(),
        "full width letters": "".join(chr(ord(char) + 0xFEE0) if char.isascii() else char for char in login),
        "Cyrillic letter": login.replace("a", "а"),
        "Greek letter": login.replace("o", "ο"),
        "zero width space": login[:3] + "\u200b" + login[3:],
        "soft hyphen": login[:3] + "\u00ad" + login[3:],
        "ligature": login.replace("fi", "ﬁ"),
        "space at the end": login + " ",
    }


@pytest.mark.parametrize("kind", look_alikes("x"))
async def test_reg_2_look_alikes_of_a_login_are_one_account_or_422(api: Api, kind: str) -> None:
    login = unique("alofi")
    assert (await register(api, login)).status_code == 201
    variant = look_alikes(login)[kind]
    assert variant != login
    answer = await register(api, variant)
    assert answer.status_code in {409, 422}, variant
    if answer.status_code == 409:
        assert answer.json()["error"] == "login_taken"
        # It is the same account: that spelling logs in too.
        assert (await log_in(api, variant)).status_code == 200


async def test_reg_2_composed_and_decomposed_letters_are_one_login(api: Api) -> None:
    composed = unicodedata.normalize("NFC", unique("café"))
    decomposed = unicodedata.normalize("NFD", composed)
    assert (await register(api, decomposed)).status_code == 201
    assert error_of(await register(api, composed)) == (409, "login_taken")
    assert (await log_in(api, composed)).status_code == 200


@pytest.mark.parametrize(
    "login",
    [
        "ab",
        "a" * 65,
        "",
        "a b c",
        "anna@example.com",
        "anna\u202e",
        "an\u2066na",
        "anna\ufeff",
        "pаypal",
        "анna",
        "-anna",
        "anna.",
        "..",
        "<script>",
        "a;b--",
        "anna/..",
        "👻👻👻",
        "ﷺ" * 10,
        1234567,
        None,
        ["anna"],
        True,
    ],
)
async def test_reg_2_logins_that_are_refused(api: Api, login: Any) -> None:
    assert error_of(await register(api, login)) == (422, "validation_error")


@pytest.mark.parametrize("login", ["иван-1", "Müller", "田中さん", "a.b_c-d", "ｆｕｌｌｗｉｄｔｈ", "straße"])
def test_reg_2_a_canonical_login_stays_as_it_is(login: str) -> None:
    once = canonical_login(login)
    assert canonical_login(once) == once


async def test_reg_2_twenty_at_once_are_one_account_and_nineteen_conflicts(api: Api) -> None:
    login = unique("wanted")
    spellings = [login, login.upper(), login.title(), look_alikes(login)["full width letters"]] * 5
    answers = await asyncio.gather(*(register(api, spelling) for spelling in spellings))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert {answer.json()["error"] for answer in answers if answer.status_code == 409} == {"login_taken"}
    count = await api.resources.hot.fetchval("SELECT count(*) FROM users WHERE login_key = $1", login)
    assert count == 1


async def test_taken_login_and_taken_address_are_409(api: Api) -> None:
    account = await api.create_user()
    assert error_of(await register(api, account.login)) == (409, "login_taken")
    assert error_of(await register(api, unique("other"), email=account.email.upper())) == (409, "email_taken")
    assert (await api.http.post(REGISTER, json={})).status_code == 422


@pytest.mark.parametrize(
    ("typed", "shown", "also"),
    [
        ("{0}@EXAMPLE.com", "{0}@example.com", "{0}@example.COM"),
        ("{0}.Last@example.com", "{0}.Last@example.com", "{0}.lAST@example.com"),
        ("{0}@БАР.рф", "{0}@бар.рф", "{0}@xn--80ab0c.XN--p1ai"),
        ("{0}@xn--80ab0c.xn--p1ai", "{0}@бар.рф", "{0}@бар.рф"),
        ("{0}@bücher.example.com", "{0}@bücher.example.com", "{0}@BÜCHER.example.com"),
    ],
)
async def test_reg_3_addresses_are_compared_without_case_and_shown_as_people_write_them(
    api: Api, typed: str, shown: str, also: str
) -> None:
    name = unique("mail")
    registered = await register(api, unique("user"), email=typed.format(name))
    assert (registered.status_code, registered.json().get("email")) == (201, shown.format(name))
    assert error_of(await register(api, unique("user"), email=also.format(name))) == (409, "email_taken")
    for spelling in (typed, shown, also):
        assert (await log_in(api, spelling.format(name))).status_code == 200


async def test_reg_3_dots_and_plus_signs_are_of_the_address(api: Api) -> None:
    name = unique("mail")
    for address in (f"{name}@example.com", f"{name}+tag@example.com", f"{name[:3]}.{name[3:]}@example.com"):
        assert (await register(api, unique("user"), email=address)).status_code == 201


@pytest.mark.parametrize(
    "email",
    [
        "",
        "plain",
        "@example.com",
        "a@",
        "a@b@example.com",
        "a@-example.com",
        "a@example",
        "a@exa mple.com",
        "A B <a@example.com>",
        "a@[127.0.0.1]",
        '"a b"@example.com',
        "a..b@example.com",
        "a@localhost",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}.com",
        "a@example.com\u202e",
        "a\u200b@example.com",
        "a@example.com,b@example.com",
        None,
        5,
    ],
)
async def test_reg_3_addresses_that_are_refused(api: Api, email: Any) -> None:
    body = {"login": unique("user"), "email": email, "password": PASSWORD}
    assert error_of(await api.http.post(REGISTER, json=body)) == (422, "validation_error")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("admin@example.com", "аdmin@example.com"),
        ("mike@example.org", "mıke@example.org"),
        ("strasse@example.com", "straße@example.com"),
        ("a.b@example.com", "ab@example.com"),
        ("a@example.com", "a+b@example.com"),
    ],
)
def test_reg_3_look_alike_addresses_stay_different(one: str, other: str) -> None:
    try:
        key = canonical_email(other)[1]
    except ValueError:
        return  # refused is as good
    assert canonical_email(one)[1] != key


@pytest.mark.parametrize(("password", "status"), [("ab-cd-e", 422), ("ab-cd-ef", 201), ("п" * 7, 422), ("п" * 8, 201)])
async def test_pwd_1_eight_code_points_are_enough(api: Api, password: str, status: int) -> None:
    assert (await register(api, unique("user"), password=password)).status_code == status


@pytest.mark.parametrize(
    "password", ["        ", "🎬🍿🎬🍿🎬🍿🎬🍿", "пароль из слов", "aaaaaaaaaaaaaaaaaaaaaaaa", "\\\"'`${{<>&;--"]
)
async def test_pwd_1_no_rules_of_composition(api: Api, password: str) -> None:
    login = unique("user")
    assert (await register(api, login, password=password)).status_code == 201
    assert (await log_in(api, login, password)).status_code == 200


@pytest.mark.parametrize(
    ("password", "status"),
    [("x" * 64, 201), ("🎬" * 128, 201), ("x" * MAX_LENGTH, 201), ("x" * (MAX_LENGTH + 1), 422), ("x" * 12_000, 422)],
)
async def test_pwd_2_long_passwords_up_to_the_cap(api: Api, password: str, status: int) -> None:
    assert (await register(api, unique("user"), password=password)).status_code == status


@pytest.mark.parametrize("start", ["x" * 72, "🎬" * 18], ids=["72 letters", "72 bytes of emoji"])
async def test_pwd_2_nothing_of_a_password_is_cut_off(api: Api, start: str) -> None:
    login = unique("user")
    assert (await register(api, login, password=start + "one end")).status_code == 201
    assert (await log_in(api, login, start + "one end")).status_code == 200
    for other in (start, start + "other end", start + "one en"):
        assert error_of(await log_in(api, login, other)) == (401, "invalid_credentials")


async def test_pwd_4_passwords_count_as_typed_but_for_the_composition_of_letters(api: Api) -> None:
    login, typed = unique("user"), " Café-Пароль "
    assert (await register(api, login, password=unicodedata.normalize("NFC", typed))).status_code == 201
    assert (await log_in(api, login, unicodedata.normalize("NFD", typed))).status_code == 200
    for other in (typed.strip(), typed + " ", typed.upper(), typed.replace("é", "e")):
        assert error_of(await log_in(api, login, other)) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "body", [{"full_name": ""}, {"full_name": "x" * 201}, {"password": 12345678}, {"password": None}]
)
async def test_other_wrong_fields_are_422(api: Api, body: dict[str, Any]) -> None:
    login = unique("user")
    whole = {"login": login, "email": f"{login}@example.com", "password": PASSWORD} | body
    assert error_of(await api.http.post(REGISTER, json=whole)) == (422, "validation_error")
    assert error_of(await log_in(api, login)) == (401, "invalid_credentials")

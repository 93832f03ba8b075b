"""What no new password may be: short, common, or made of what a guesser knows."""

import random
import socket
import unicodedata
from typing import Any

import httpx
import pytest

from auth_service.core.passwords import common_passwords
from auth_service.core.passwords.common_passwords import is_common
from auth_service.core.passwords.hashing import MIN_LENGTH, check_context, check_rules
from auth_service.seed import DEMO_USERS
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Api, error_of, unique
from tests.support.command import Command
from tests.support.mailbox import newest

GOOD = "nineteen-wooden-boats"


async def register(api: Api, password: str, *, login: str | None = None, email: str | None = None) -> httpx.Response:
    login = login or unique("rules")
    body = {"login": login, "email": email or f"{login}@example.com", "password": password}
    return await api.http.post(f"{V1}/auth/register", json=body)


def reason(response: httpx.Response) -> tuple[str, str]:
    """(field, message)."""
    assert error_of(response) == (422, "validation_error")
    (field,) = response.json()["fields"]
    assert field["message"] in response.json()["detail"]
    return field["field"], field["message"]


def test_pwd_3_the_list_has_ten_thousand_passwords_that_the_length_would_let_pass() -> None:
    known = common_passwords._list()
    assert len(known) >= 10_000
    assert all(len(password) >= MIN_LENGTH for password in known)
    assert all(password == unicodedata.normalize("NFC", password).casefold() for password in known)


def test_pwd_3_every_entry_is_refused_in_any_case_and_with_digits_or_exclamation_marks_appended() -> None:
    for password in random.Random(1).sample(sorted(common_passwords._list()), 1000):
        for variant in (password, password.upper(), password.title(), f"{password}1", f"{password}2026!"):
            with pytest.raises(ValueError, match="guessed first"):
                check_rules(variant)


@pytest.mark.parametrize(
    "password", [PASSWORD, GOOD, "x password", "password of mine", "1password-", "!!!!!!!!", "п" * 8]
)
def test_pwd_3_what_only_resembles_an_entry_passes(password: str) -> None:
    assert not is_common(password)


def test_pwd_3_a_missing_list_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an empty list: a rule that silently checks nothing."""
    monkeypatch.setattr(common_passwords, "_FILE", common_passwords._FILE.with_name("missing"))
    common_passwords._list.cache_clear()
    try:
        with pytest.raises(FileNotFoundError):
            is_common(GOOD)
    finally:
        common_passwords._list.cache_clear()


@pytest.mark.parametrize(
    ("password", "good"),
    [
        ("neo-the-one", True),
        ("NEO-NEO-NEO-NEO", False),
        ("cinema2026", False),
        ("Cinema and neo", False),
        ("T.Anderson99!", False),
        ("t.anderson and the rabbit", True),
        ("xneox", False),
        ("abababababab", True),
    ],
)
def test_pwd_3_eight_characters_besides_what_is_known(password: str, good: bool) -> None:
    words = ("Neo", "t.anderson", "Cinema", "ab")  # too short a word says nothing
    if good:
        check_context(password, words)
    else:
        with pytest.raises(ValueError, match="at least 8"):
            check_context(password, words)


async def test_pwd_3_registration_says_why(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    login, mailbox = unique("trinity"), unique("mailbox")
    address = f"{mailbox}@example.com"

    def no_network(*_arguments: Any, **_named: Any) -> None:
        raise AssertionError("a connection")

    assert (await register(api, GOOD)).status_code == 201  # the stores are connected
    with monkeypatch.context() as patched:
        patched.setattr(socket, "create_connection", no_network)
        patched.setattr(socket.socket, "connect", no_network)
        for bad in ("password", "PassWord2026!", "qwertyuiop"):
            assert reason(await register(api, bad, login=login, email=address)) == (
                "body.password",
                "is one of the passwords that are guessed first, perhaps with digits or ! appended",
            )
        for bad in (f"{login}2026", login.upper() * 2, f"{mailbox}!", "Cinema-1234", f"cinema {login} {mailbox}"):
            assert reason(await register(api, bad, login=login, email=address)) == (
                "body.password",
                "must have at least 8 characters besides the login, the e-mail address and our name",
            )
    assert (await register(api, GOOD, login=login, email=address)).status_code == 201


async def test_pwd_3_holds_for_the_change_and_the_reset_too(api: Api) -> None:
    account, tokens = await api.as_role()

    async def change(new: str) -> httpx.Response:
        body = {"current_password": PASSWORD, "new_password": new}
        return await api.http.post(f"{V1}/users/me/password", json=body, headers=tokens.bearer)

    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})).status_code == 202
    token = (await newest(api, account.email, "reset_password")).token

    async def reset(new: str) -> httpx.Response:
        return await api.http.post(f"{V1}/auth/password/reset", json={"token": token, "new_password": new})

    for way in (change, reset):
        for bad in ("password1", f"{account.login}99"):
            assert reason(await way(bad))[0] == "body.new_password"
    assert (await reset(GOOD)).status_code == 200


async def test_pwd_3_holds_on_the_command_line(fresh: Fresh) -> None:
    settings = await fresh.settings()
    command = Command(settings)
    create = ("users", "create", "morpheus", "captain@example.com")
    assert "guessed first" in await command.refuses(*create, typed="password123")
    assert "besides the login" in await command.refuses(*create, typed="morpheus-captain")
    await command.does(*create, typed=GOOD)
    assert "besides the login" in await command.refuses("users", "update-password", "morpheus", typed="morpheus-dream")
    assert "guessed first" in await command.refuses("users", "update-password", "morpheus", typed="letmein1234")
    api = await fresh.on(settings)
    assert (await api.log_in_as("morpheus", GOOD)).status_code == 200


async def test_pwd_3_weak_passwords_that_exist_still_log_in(api: Api) -> None:
    """The rules are for new passwords: nobody is locked out by a longer list, and an import takes what there is."""
    from auth_service.core.passwords.hashing import hash_now

    account = await api.create_user(stored_hash=hash_now("password"))
    assert (await api.log_in_as(account.login, "password")).status_code == 200


def test_the_demo_accounts_keep_the_rules() -> None:
    for demo in DEMO_USERS:
        check_rules(demo.password)
        check_context(demo.password, (demo.login, demo.email.partition("@")[0], "Cinema"))


@pytest.mark.parametrize("name", ["MIN_PASSWORD_LENGTH", "PASSWORD_MIN_LENGTH", "MIN_LENGTH"])
async def test_pwd_1_no_setting_lowers_the_floor(fresh: Fresh, name: str) -> None:
    settings = await fresh.settings()
    command = Command(settings, **{name: "4"})
    assert "at least 8" in await command.refuses("users", "create", "shorty", "shorty@example.com", typed="ab-cd-e")

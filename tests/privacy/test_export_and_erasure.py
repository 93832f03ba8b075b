"""What is kept about a user can be taken along, and can be made to go."""

import tracemalloc
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from auth_service.privacy.export import HISTORY_PAGE, export
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, unique
from tests.support.dump import dump
from tests.support.mailbox import newest
from tests.support.phone import enrol_phone


async def lived_in(api: Api) -> tuple[Account, Tokens, dict[str, str]]:
    """An account with a row of every kind, and what is secret in it."""
    login = unique("diarist")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD, "full_name": "Анна К."}
    registered = await api.http.post(f"{V1}/auth/register", json=body)
    assert registered.status_code == 201
    account = Account(UUID(registered.json()["id"]), login, body["email"])
    tokens = await api.log_in(account, device_name="living room")
    verify = (await newest(api, account.email, "verify_email")).token
    assert (await api.http.post(f"{V1}/auth/email/confirm", json={"token": verify})).status_code == 200
    assert error_of(await api.log_in_as(login, "a wrong password")) == (401, "invalid_credentials")
    change = {"email": f"{unique('next')}@example.com", "current_password": PASSWORD}
    assert (await api.http.post(f"{V1}/users/me/email", json=change, headers=tokens.bearer)).status_code == 202
    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})).status_code == 202
    codes = await enrol_phone(api, tokens)
    assert (await api.log_in_as(login, PASSWORD)).json()["mfa_required"] is True  # a challenge
    wrong = {"current_password": PASSWORD, "code": "000000"}
    assert (await api.http.delete(f"{V1}/mfa/totp", headers=tokens.bearer)).status_code == 422
    assert error_of(await api.http.post(f"{V1}/mfa/recovery-codes", json=wrong, headers=tokens.bearer))[0] == 403
    await api.resources.hot.execute(
        "INSERT INTO devices (id, user_id, secret_hash, name, ip) VALUES (gen_random_uuid(), $1, 'hash', $2, '::1')",
        account.id,
        f"phone of {login}",
    )
    reset = (await newest(api, account.email, "reset_password")).token
    stored = await api.resources.hot.fetchrow(
        "SELECT password_hash, sealed_secret FROM users JOIN mfa_totp ON id = user_id WHERE id = $1", account.id
    )
    secrets = {
        "access token": tokens.access,
        "refresh token": tokens.refresh,
        "mailed token": reset.partition(".")[2],
        "password hash": stored["password_hash"],
        "seed": stored["sealed_secret"].hex(),
        "recovery code": codes[0],
    }
    return account, tokens, secrets


async def export_of(api: Api, tokens: Tokens) -> Any:
    response = await api.http.get(f"{V1}/users/me/export", headers=tokens.bearer)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-disposition"] == 'attachment; filename="account.json"'
    assert response.headers["cache-control"] == "no-store"
    return response.json()


async def test_all_that_is_kept_is_exported_but_no_secret(api: Api) -> None:
    account, tokens, secrets = await lived_in(api)
    document = await export_of(api, tokens)
    assert document["account"]["id"] == str(account.id)
    assert document["account"]["full_name"] == "Анна К."
    assert document["account"]["email_verified_at"] is not None
    assert [grant["role_name"] for grant in document["roles"]] == ["viewer"]
    assert document["second_factor"]["enabled"] is True
    assert document["second_factor"]["recovery_codes_left"] == 10
    assert sorted(device["name"] for device in document["devices"]) == ["living room", f"phone of {account.login}"]
    assert [session["device_name"] for session in document["sessions"]] == ["living room"]
    assert document["sessions"][0]["ip"] == "127.0.0.1"
    assert document["email_change"]["waiting_for"] == ["old", "new"]
    assert [entry["reason"] for entry in document["login_history"]] == ["wrong_password", None]
    text = str(document)
    for name, secret in secrets.items():
        assert secret not in text, name
    assert "hash" not in text
    assert "secret" not in text


async def test_an_export_is_one_s_own(api: Api) -> None:
    other = await api.create_user()
    await api.log_in(other)
    account, tokens = await api.as_role()
    document = await export_of(api, tokens)
    assert str(other.id) not in str(document)
    assert {entry["session_id"] for entry in document["login_history"]} == {tokens.session_id}
    assert document["account"]["login"] == account.login
    assert document["email_change"] is None


async def test_the_whole_history_is_exported_in_pieces(fresh: Fresh) -> None:
    api = await fresh.api()
    account, tokens = await api.as_role()
    count = 70 * HISTORY_PAGE + 7
    await api.resources.hot.execute(
        "INSERT INTO login_history (id, login_at, user_id, succeeded, user_agent) SELECT gen_random_uuid(),"
        " now() - make_interval(secs => n / 3), $1, true, repeat('x', 400) FROM generate_series(1, $2::int) n",
        account.id,
        count,
    )
    document = await export_of(api, tokens)
    times = [datetime.fromisoformat(entry["login_at"]) for entry in document["login_history"]]
    assert len({entry["id"] for entry in document["login_history"]}) == len(times) == count + 1
    assert times == sorted(times, reverse=True)
    assert all(time.astimezone(UTC) for time in times)
    tracemalloc.start()
    pieces = [len(piece) async for piece in await export(api.resources, account.id)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pieces) == 2 + 70
    assert peak < sum(pieces)  # bounded by the page: never the whole document at once


async def test_nothing_is_left_of_a_deleted_account(fresh: Fresh) -> None:
    api = await fresh.api()
    account, tokens, _ = await lived_in(api)
    before = await dump(api)
    for table in (
        *("users", "user_roles", "sessions", "devices", "mfa_totp", "mfa_recovery_codes", "login_challenges"),
        *("mailed_tokens", "email_changes", "mails", "login_history", "login_attempts"),
    ):
        assert str(account.id) in before[table], table
    gone = await api.http.request(
        "DELETE", f"{V1}/users/me", json={"current_password": PASSWORD}, headers=tokens.bearer
    )
    assert gone.status_code == 204
    after = await dump(api)
    denied = after.pop("denials")
    assert str(account.id) in denied  # until the last token of the account has expired
    assert account.login not in denied
    events = after.pop("outbox")
    assert str(account.id) in events  # that the user was deleted has to be told
    assert account.login not in events
    assert account.email not in events
    assert "Анна" not in events
    for table, text in after.items():
        for trace in (str(account.id), account.login, account.email):
            assert trace not in text, (table, trace)

"""`auth-service users import` of Keycloak's realm export: accounts, hashes, roles, authenticators."""

import asyncio
import base64
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from auth_service.config import Settings
from auth_service.locks import HOLD_IN_SESSION, Advisory
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Api, error_of, unique
from tests.support.command import Command
from tests.support.foreign_hashes import keycloak_otp, keycloak_password
from tests.support.import_file import account_of
from tests.support.outbox import kinds_of
from tests.support.phone import shown_at
from tests.support.service_process import environment_of

SEED = "vJzDRYoXmqqCEgZwQ2yB"  # 20 characters, as Keycloak makes them
User = dict[str, Any]


@pytest.fixture
def command(api: Api, shared_settings: Settings) -> Command:
    return Command(shared_settings)


def person(*credentials: dict[str, Any], **more: Any) -> User:
    """As Keycloak 26 writes one."""
    name = unique("keycloak")
    return {
        "id": "3d2f0c9e-7c7a-4d0a-9d0d-6f6f7c7f3a01",
        "username": name,
        "firstName": "Анна",
        "lastName": "Каренина",
        "email": f"{name}@example.com",
        "emailVerified": True,
        "enabled": True,
        "createdTimestamp": 1_577_836_800_000,
        "totp": False,
        "credentials": list(credentials),
        "disableableCredentialTypes": [],
        "requiredActions": [],
        "realmRoles": ["default-roles-cinema", "offline_access"],
        "notBefore": 0,
        "groups": [],
    } | more


def write(folder: Path, *users: User, **realm: Any) -> str:
    path = folder / "cinema-users-0.json"
    path.write_text(json.dumps({"realm": "cinema", "users": users, **realm}, ensure_ascii=False), encoding="utf-8")
    return str(path)


async def finish_login(api: Api, login: str, seed: str = "") -> int:
    """With the code that the phone shows for the seed in base32; SEED's own bytes are the key of most."""
    first = (await api.log_in_as(login, PASSWORD)).json()
    assert first.get("mfa_required"), first
    code = shown_at(seed or base64.b32encode(SEED.encode()).decode(), api.resources.clock())
    body = {"challenge": first["challenge"], "code": code}
    return (await api.http.post(f"{V1}/auth/login/mfa", json=body)).status_code


HASHES = [("pbkdf2-sha256", 64), ("pbkdf2-sha256", 32), ("pbkdf2-sha512", 64), ("pbkdf2", 64), ("argon2", 32)]


async def test_pwd_5_keycloaks_hashes_let_in_and_become_argon2id(api: Api, command: Command, tmp_path: Path) -> None:
    users = [person(keycloak_password(kind, PASSWORD, key_bytes=key_bytes)) for kind, key_bytes in HASHES]
    said = await command.does("users", "import", write(tmp_path, *users))
    assert f"imported {len(users)} users, left out 0" in said
    for old in users:
        account = await account_of(api, old["username"])
        assert account["full_name"] == "Анна Каренина"
        assert (account["email_verified_at"] is not None, account["is_active"]) == (True, True)
        assert account["created_at"].timestamp() == 1_577_836_800
        assert (await api.log_in_as(old["username"], f"{PASSWORD}!")).status_code == 401
        assert (await api.log_in_as(old["email"], PASSWORD)).status_code == 200
        after = await account_of(api, old["username"])
        assert after["password_hash"].startswith("$argon2id$")
        assert after["password_hash"] != account["password_hash"]


@pytest.mark.long
@pytest.mark.parametrize(("kind", "key_bytes"), HASHES)
async def test_pwd_5_a_thousand_accounts_of_keycloak(
    api: Api, command: Command, tmp_path: Path, kind: str, key_bytes: int
) -> None:
    users = [person(keycloak_password(kind, PASSWORD, key_bytes=key_bytes)) for _ in range(1000)]
    assert "imported 1000 users" in await command.does("users", "import", write(tmp_path, *users))
    assert (await api.log_in_as(users[500]["username"], f"{PASSWORD}!")).status_code == 401
    assert (await api.log_in_as(users[500]["username"], PASSWORD)).status_code == 200


async def test_an_authenticator_goes_on_showing_right_codes(api: Api, command: Command, tmp_path: Path) -> None:
    password = keycloak_password("argon2", PASSWORD)
    other = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    old = person(password, keycloak_otp(SEED), requiredActions=["UPDATE_PASSWORD"], groups=["/staff"])
    in_base32 = person(password, keycloak_otp(other, secretEncoding="BASE32"))
    said = await command.does("users", "import", write(tmp_path, old, in_base32))
    assert "with an authenticator: 2" in said
    assert "not taken over: groups 1, required action UPDATE_PASSWORD 1" in said
    assert SEED not in said
    assert await finish_login(api, old["username"]) == 200
    assert await finish_login(api, in_base32["username"], other) == 200
    account = await account_of(api, old["username"])
    assert "mfa_enabled" in await kinds_of(api, account["id"])
    sealed = await api.resources.hot.fetchval("SELECT sealed_secret FROM mfa_totp WHERE user_id = $1", account["id"])
    assert SEED.encode() not in sealed


async def test_authenticators_that_we_cannot_verify_stay_and_are_named(
    api: Api, command: Command, tmp_path: Path
) -> None:
    password = keycloak_password("argon2", PASSWORD)
    others = [
        (keycloak_otp(SEED, subType="hotp"), "whose subType"),
        (keycloak_otp(SEED, digits=8), "whose digits"),
        (keycloak_otp(SEED, period=60), "whose period"),
        (keycloak_otp(SEED, algorithm="HmacSHA256"), "whose algorithm"),
        (keycloak_otp("short"), "whose seed has not 16 to 128 bytes"),
        (keycloak_otp("not base32 at all", secretEncoding="BASE32"), "whose seed is not base32"),
        (keycloak_otp(SEED, secretEncoding="HEX"), "whose secretEncoding"),
        ({"type": "otp", "credentialData": "{}", "secretData": "{}"}, "whose value"),
    ]
    users = [person(password, other) for other, _ in others]
    said = await command.does("users", "import", write(tmp_path, *users, person(password, *[keycloak_otp(SEED)] * 2)))
    for number, (_, words) in enumerate(others, 1):
        assert f"user {number}: comes without an authenticator {words}" in said
    assert f"user {len(others) + 1}: has several authenticators and keeps the first" in said
    assert SEED not in said
    assert (await api.log_in_as(users[0]["username"], PASSWORD)).status_code == 200


async def test_roles_of_the_realm_are_mapped_left_out_or_refused(api: Api, command: Command, tmp_path: Path) -> None:
    password = keycloak_password("argon2", PASSWORD)
    users = [person(password, realmRoles=["moderator", "Film Editor", "uma_authorization"]), person(password)]
    path = write(tmp_path, *users)
    words = await command.refuses("users", "import", path)
    assert words.splitlines()[1:] == ["user 1: roles: there is no role Film Editor here"]
    said = await command.does("users", "import", path, "--dry-run", "--ignore-roles")
    assert "roles: moderator 1\n" in said
    assert "not taken over: role Film Editor 1" in said
    said = await command.does("users", "import", path, "--map-role", "Film Editor=content-manager")
    assert "roles: content-manager 1, moderator 1" in said
    account = await account_of(api, users[0]["username"])
    held = await api.resources.hot.fetch("SELECT role_name FROM user_roles WHERE user_id = $1", account["id"])
    assert {item["role_name"] for item in held} == {"viewer", "moderator", "content-manager"}


async def test_accounts_that_are_disabled_of_clients_or_without_a_password(
    api: Api, command: Command, tmp_path: Path
) -> None:
    disabled = person(keycloak_password("argon2", PASSWORD), enabled=False)
    client = {"username": "service-account-app", "serviceAccountClientId": "app", "enabled": True}
    name = unique("federated")
    bare = {"username": f"{name}@example.com", "email": f"{name}@example.com", "enabled": True}
    said = await command.does("users", "import", write(tmp_path, disabled, client, bare))
    assert "imported 2 users" in said
    assert "without a password: 1\ndisabled: 1\n" in said
    assert "not taken over: accounts of clients 1" in said
    assert (await account_of(api, name))["password_hash"].startswith("$argon2id$")
    assert error_of(await api.log_in_as(disabled["username"], PASSWORD)) == (401, "invalid_credentials")


async def test_what_is_wrong_with_a_user_is_named_without_its_secrets(
    api: Api, command: Command, tmp_path: Path
) -> None:
    good = person(keycloak_password("argon2", PASSWORD))
    dear = keycloak_password("pbkdf2-sha256", PASSWORD)
    dear["credentialData"] = dear["credentialData"].replace('"hashIterations": 3', '"hashIterations": 90000000')
    unknown = keycloak_password("pbkdf2-sha256", PASSWORD)
    unknown["credentialData"] = unknown["credentialData"].replace("sha256", "sha3")
    plain = {"type": "password", "value": PASSWORD, "temporary": True}
    broken = {"type": "password", "secretData": f"{PASSWORD}", "credentialData": "{}"}
    wrong: list[tuple[Any, str]] = [
        (person(dear), "password_hash is broken, or so dear"),
        (person(unknown), "its password is no password hash"),
        (person(plain), "its password's algorithm"),
        (person(broken), "credentials.0.secretData"),
        (person(email=None), "email must be"),
        (person(username="no spaces here"), "login may have"),
        (person(createdTimestamp=10**30), "createdTimestamp"),
        (person(realmRoles="admin"), "realmRoles"),
        (person(enabled="perhaps"), "enabled"),
        ("not a user", ""),
    ]
    words = await command.refuses("users", "import", write(tmp_path, good, *(user for user, _ in wrong)))
    lines = words.splitlines()[1:]
    assert len(lines) == len(wrong)
    for number, (line, (_, complaint)) in enumerate(zip(lines, wrong, strict=True), 2):
        assert line.startswith(f"user {number}: {complaint}"), line
    assert PASSWORD not in words
    assert json.loads(dear["secretData"])["value"] not in words


@pytest.mark.parametrize(
    ("content", "options", "complaint"),
    [
        ('{"realm": "cinema"}', [], "there are no users in this file"),
        ('{"users": {}}', [], "there are no users in this file"),
        ('{"users": [', [], "line 1, column 12: this is not JSON"),
        ("[]", ["--format", "keycloak"], "this is not a file of keycloak"),
        ("login,email\n", ["--format", "keycloak"], "this is not JSON"),
    ],
)
async def test_files_that_are_no_realm_are_refused(
    command: Command, tmp_path: Path, content: str, options: list[str], complaint: str
) -> None:
    path = tmp_path / "realm.json"
    path.write_text(content)
    assert complaint in await command.refuses("users", "import", str(path), *options)


@pytest.mark.long
async def test_killed_half_way_nothing_is_there(fresh: Fresh, tmp_path: Path) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    otp = keycloak_otp(SEED)
    users = [person(keycloak_password("argon2", PASSWORD), otp, realmRoles=["moderator"]) for _ in range(600)]
    path = write(tmp_path, *users)
    async with api.resources.db.begin() as session:
        # All is written when the import waits for its row of the audit trail, the last thing before the commit.
        await session.execute(HOLD_IN_SESSION, {"key": Advisory.AUDIT_CHAIN})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "auth_service", "users", "import", path),
            env={**os.environ, **environment_of(settings)},
            stdout=asyncio.subprocess.DEVNULL,
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1"
        while not await api.resources.hot.fetchval(waiting, int(Advisory.AUDIT_CHAIN)):
            assert process.returncode is None
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    for table in ("users", "mfa_totp", "outbox", "login_looks"):
        assert await api.resources.hot.fetchval(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608
    assert "imported 600 users" in await Command(settings).does("users", "import", path)
    assert await finish_login(api, users[0]["username"]) == 200


@pytest.mark.long
async def test_ten_thousand_users_with_roles_and_authenticators_in_a_minute(fresh: Fresh, tmp_path: Path) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    kinds = ("pbkdf2-sha256", "pbkdf2-sha512", "argon2")
    made = [keycloak_password(kind, PASSWORD) for kind in kinds]
    users = [
        person(made[number % 3], keycloak_otp(SEED), realmRoles=["moderator", "content-manager"])
        for number in range(10_000)
    ]
    path = write(tmp_path, *users)
    began = time.perf_counter()
    outcome = await Command(settings).process("users", "import", path)
    took = time.perf_counter() - began
    print(f"10,000 users: {took:.1f} s")
    assert outcome.code == 0, outcome.err
    assert "imported 10000 users" in outcome.out
    assert took < 60
    count = await api.resources.hot.fetchval("SELECT count(*) FROM users JOIN mfa_totp ON user_id = users.id")
    assert count == 10_000
    assert await finish_login(api, users[7777]["username"]) == 200

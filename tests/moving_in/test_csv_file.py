"""`auth-service users import` of a CSV file: accounts of another system with their hashes, all or none."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from passlib.hash import argon2, bcrypt

from auth_service.config import Settings
from auth_service.core.errors import LoginTaken
from auth_service.core.passwords.hashing import hash_now
from auth_service.locks import lock_access_rules
from auth_service.moving_in import arrival
from auth_service.moving_in.arrival import Wishes, take_in
from auth_service.moving_in.csv_file import read_csv
from auth_service.moving_in.newcomers import Plan
from auth_service.users import new_login
from tests.support.api import PASSWORD, V1, Api, error_of, password_hash, unique
from tests.support.command import Command
from tests.support.import_file import ALL_COLUMNS, BCRYPT, COLUMNS, account_of, row, stored_hash, write
from tests.support.mailbox import letters, newest
from tests.support.outbox import kinds_of

SHIPPED = hash_now(PASSWORD)  # where this file is read, hashes cost what they do for users


@pytest.fixture
def command(api: Api, shared_settings: Settings) -> Command:
    """On the stores of the shared app."""
    return Command(shared_settings)


async def log_in(api: Api, login: str, password: str = PASSWORD) -> int:
    response = await api.http.post(f"{V1}/auth/login", json={"login": login, "password": password})
    return response.status_code


HASHES = {
    "bcrypt 2b": BCRYPT,
    "bcrypt 2a": bcrypt.using(rounds=4, ident="2a").hash(PASSWORD),
    "bcrypt 2y": bcrypt.using(rounds=4, ident="2y").hash(PASSWORD),
    "argon2i": argon2.using(type="I", memory_cost=1024, rounds=1, parallelism=1).hash(PASSWORD),
    "weak argon2id": argon2.using(type="ID", memory_cost=1024, rounds=1, parallelism=1).hash(PASSWORD),
    "our own": SHIPPED,
}


@pytest.mark.real_hashes
@pytest.mark.parametrize("kind", HASHES)
async def test_pwd_5_old_hashes_let_in_and_become_argon2id(
    api: Api, command: Command, tmp_path: Path, kind: str
) -> None:
    old = row(password_hash=HASHES[kind], full_name="Анна К.")
    assert "imported 1 users, left out 0" in await command.does("users", "import", write(tmp_path, [old]))
    assert await stored_hash(api, old["login"]) == HASHES[kind]
    assert await log_in(api, old["login"], "wrong password") == 401
    assert await stored_hash(api, old["login"]) == HASHES[kind]
    assert await log_in(api, old["login"]) == 200
    new = await stored_hash(api, old["login"])
    assert new is not None
    assert new.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (new == HASHES[kind]) is (kind == "our own")
    assert await log_in(api, old["email"].upper()) == 200


async def test_imported_users_have_the_default_role_and_their_name(api: Api, command: Command, tmp_path: Path) -> None:
    old = row(full_name="  Анна К. ", email=f"{unique('Anna')}@EXAMPLE.com")
    await command.does("users", "import", write(tmp_path, [old]))
    shown = await api.resources.hot.fetchrow("SELECT id, full_name, email FROM users WHERE login = $1", old["login"])
    assert shown is not None
    assert (shown["full_name"], shown["email"]) == ("Анна К.", old["email"].replace("EXAMPLE", "example"))
    _, admin = await api.as_role("admin")
    assert (await api.check(admin, "films:read", shown["id"]))["allowed"] is True
    assert (await api.check(admin, "films:watch", shown["id"]))["reason"] == "no_grant"


async def test_hundreds_at_once_with_progress(api: Api, command: Command, tmp_path: Path) -> None:
    rows = [row() for _ in range(700)]  # more than one chunk
    said = await command.does("users", "import", write(tmp_path, rows, COLUMNS[:3]))
    assert "imported 700 users, left out 0" in said
    assert "700/700" in said
    count = await api.resources.hot.fetchval(
        "SELECT count(*) FROM users u JOIN user_roles r ON r.user_id = u.id WHERE u.login = ANY($1)",
        [item["login"] for item in rows],
    )
    assert count == 700


WRONG: list[tuple[dict[str, str], str]] = [
    ({"login": "no spaces"}, "login may have"),
    ({"login": "a"}, "login must have"),
    ({"login": "admin@example.com"}, "login may have"),
    ({"login": "pаypal"}, "login must not mix"),
    ({"email": "no-address"}, "email must be"),
    ({"email": ""}, "email must be"),
    ({"password_hash": PASSWORD}, "password_hash is"),
    ({"password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}, "password_hash is"),
    ({"password_hash": BCRYPT[:-1]}, "password_hash is"),
    ({"password_hash": BCRYPT + "a"}, "password_hash is"),
    ({"password_hash": "$2x$04$" + BCRYPT[7:]}, "password_hash is"),
    ({"password_hash": "$argon2id$v=19$m=1024,t=1,p=1$junk"}, "password_hash is"),
    ({"email_verified": "maybe"}, "email_verified must be true or false"),
    ({"is_active": "2"}, "is_active must be true or false"),
    ({"created_at": "yesterday"}, "created_at must be a time"),
    ({"created_at": "1969-12-31"}, "created_at must not lie before"),
    ({"full_name": "x" * 201}, "full_name must have at most 200 characters"),
    ({"full_name": "a\tb"}, "full_name must not have control characters"),
]


async def test_wrong_rows_are_named_by_line_and_nothing_is_imported(api: Api, command: Command, tmp_path: Path) -> None:
    good = row()
    rows = [good, *(row(**changes) for changes, _ in WRONG)]
    words = await command.refuses("users", "import", write(tmp_path, rows, ALL_COLUMNS))
    lines = words.splitlines()
    assert lines[0] == "nothing was imported:"
    assert len(lines) == 1 + len(WRONG)
    for number, (line, (_, complaint)) in enumerate(zip(lines[1:], WRONG, strict=True), start=3):
        assert line.startswith(f"line {number}: {complaint}"), line
    assert PASSWORD not in words
    assert BCRYPT[7:20] not in words
    assert await stored_hash(api, good["login"]) is None


async def test_lines_are_counted_as_an_editor_counts_them(command: Command, tmp_path: Path) -> None:
    good, bad = row(), row(login="no spaces")
    lines = [
        ",".join(COLUMNS),
        "",
        f"{good['login']},{good['email']},{good['password_hash']},",
        "",
        ",".join(bad.values()),
    ]
    path = tmp_path / "users.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    assert "line 5: login" in await command.refuses("users", "import", str(path))


async def test_only_some_of_very_many_problems_are_shown(command: Command, tmp_path: Path) -> None:
    words = await command.refuses("users", "import", write(tmp_path, [row(login="x y") for _ in range(50)]))
    assert len(words.splitlines()) == 22
    assert words.endswith("… and 30 more\n")


async def test_doubles_within_the_file_are_refused(api: Api, command: Command, tmp_path: Path) -> None:
    first = row()
    same_login, same_email = row(login=first["login"].upper()), row(email=first["email"].upper())
    words = await command.refuses("users", "import", write(tmp_path, [first, row(), same_login, same_email]))
    assert words.splitlines()[1:] == [
        "line 4: the same login or email as line 2",
        "line 5: the same login or email as line 2",
    ]


async def test_taken_ones_stop_the_import_or_are_left_out(api: Api, command: Command, tmp_path: Path) -> None:
    account = await api.create_user()
    new = row()
    rows = [row(login=account.login.upper()), new, row(email=account.email)]
    path = write(tmp_path, rows)
    words = await command.refuses("users", "import", path)
    assert words.splitlines()[1:] == ["line 2: the login or email is taken", "line 4: the login or email is taken"]
    assert await stored_hash(api, new["login"]) is None
    assert "imported 1 users, left out 2" in await command.does("users", "import", path, "--skip-existing")
    assert await log_in(api, new["login"]) == 200
    assert await stored_hash(api, account.login) == password_hash()  # nobody's hash is replaced
    assert "imported 0 users, left out 3" in await command.does("users", "import", path, "--skip-existing")


async def test_a_dry_run_checks_everything_and_writes_nothing(api: Api, command: Command, tmp_path: Path) -> None:
    account, new = await api.create_user(), row()
    good = write(tmp_path, [new])
    assert "would import 1 users" in await command.does("users", "import", good, "--dry-run")
    assert await stored_hash(api, new["login"]) is None
    taken = write(tmp_path, [new, row(login=account.login)])
    assert "line 3" in await command.refuses("users", "import", taken, "--dry-run")
    said = await command.does("users", "import", taken, "--dry-run", "--skip-existing")
    assert "would import 1 users, left out 1" in said
    assert await stored_hash(api, new["login"]) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"login,email\na,b\n",
        b"login|email|password_hash\n",
        b"login,email,password_hash,is_superuser\n",
        b"login,password_hash\n",
        b"login,login,email,password_hash\n",
        "login,email,password_hash\nанна,a@example.com,x\n".encode("cp1251"),
        "логин,email,password_hash\n".encode("cp1251"),
        "login,email,password_hash\n".encode("utf-16"),
        b'login,email,password_hash\n"anna,a@example.com,x\n',
        b'login,email,password_hash\n"anna"x,a@example.com,x\n',
        b"login,email,password_hash\nanna,a@example.com\n",
        b"login,email,password_hash\nanna,a@example.com,x,y\n",
        b"login,email,password_hash\n" + b"a" * 200_000 + b",a@example.com,x\n",
        b"login,email,password_hash\nan\0na,a@example.com,x\n",
    ],
)
async def test_files_that_are_not_such_a_table_are_refused_in_words(
    command: Command, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "users.csv"
    path.write_bytes(content)
    words = await command.refuses("users", "import", str(path))
    assert words.splitlines()[0] == "nothing was imported:"
    assert "line " in words


async def test_a_file_without_users_imports_nobody(command: Command, tmp_path: Path) -> None:
    assert "imported 0 users" in await command.does("users", "import", write(tmp_path, []))
    assert (await command("users", "import", str(tmp_path / "missing.csv"))).code == 2
    assert (await command("users", "import", str(tmp_path))).code == 2


async def test_all_or_none_also_when_a_registration_comes_between(api: Api, tmp_path: Path) -> None:
    rows = [row() for _ in range(600)]
    plan = Plan()
    read_csv(plan, Path(write(tmp_path, rows)))
    last = rows[-1]
    body = {"login": last["login"], "email": f"{unique('own')}@example.com", "password": PASSWORD}
    assert (await api.http.post(f"{V1}/auth/register", json=body)).status_code == 201
    with pytest.raises(LoginTaken):
        await take_in(api.resources, plan.newcomers, lambda _count: None, Wishes())
    assert await stored_hash(api, rows[0]["login"]) is None


async def test_a_first_line_that_is_no_header_is_not_repeated(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    for text in (f"anna,{BCRYPT},anna@example.com\n", f"email,password_hash,{BCRYPT},anna\n"):
        path.write_text(text)
        words = await command.refuses("users", "import", str(path))
        assert "line 1: " in words
        assert BCRYPT[7:20] not in words
        assert "anna" not in words


async def test_unknown_columns_are_refused_or_left_out(api: Api, command: Command, tmp_path: Path) -> None:
    old = row(phone="+7 900", last_login="")
    path = write(tmp_path, [old], [*COLUMNS, "phone", "last_login"])
    assert "number 5, 6" in await command.refuses("users", "import", path)
    await command.does("users", "import", path, "--ignore-columns")
    assert await log_in(api, old["login"]) == 200


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8"), (";", "cp1251"), ("\t", "utf-8-sig"), (",", "cp1251")]
)
async def test_tables_as_spreadsheets_and_databases_write_them(
    api: Api, command: Command, tmp_path: Path, delimiter: str, encoding: str
) -> None:
    old = row(full_name="Анна; К, Ли")
    columns = ["full_name", " password_hash ", "email", "login "]
    padded = {name: f" {old[name.strip()]} " for name in columns}
    path = write(tmp_path, [padded], columns, delimiter=delimiter, encoding=encoding)
    options = ["--encoding", "cp1251"] if encoding == "cp1251" else []
    await command.does("users", "import", path, *options)
    query = "SELECT full_name FROM users WHERE login = $1"
    assert await api.resources.hot.fetchval(query, old["login"]) == "Анна; К, Ли"
    assert await log_in(api, old["email"]) == 200


async def test_nothing_as_databases_write_it_and_roles_with_spaces(api: Api, command: Command, tmp_path: Path) -> None:
    old = row(login="NULL", full_name="\\N", roles="Film editors|", created_at="NULL")
    path = write(tmp_path, [old], ALL_COLUMNS, delimiter="\t")
    assert "roles: content-manager 1" in await command.does(
        "users", "import", path, "--map-role", "Film editors=content-manager"
    )
    account = await account_of(api, old["email"].partition("@")[0])
    assert account["full_name"] is None


async def test_cp1251_read_as_utf_8_is_told_how_to_be_read(command: Command, tmp_path: Path) -> None:
    path = write(tmp_path, [row(full_name="Анна")], encoding="cp1251")
    assert "utf-8" in await command.refuses("users", "import", path)


async def test_all_that_a_table_can_say(api: Api, command: Command, tmp_path: Path) -> None:
    old = row(
        roles="moderator | content-manager", email_verified="YES", is_active="1", created_at="2019-03-01 10:00:00+03"
    )
    gone = row(is_active="f", email_verified="0", created_at="2020-05-05")
    said = await command.does("users", "import", write(tmp_path, [old, gone], ALL_COLUMNS))
    assert "roles: content-manager 1, moderator 1\ndisabled: 1\n" in said
    account = await account_of(api, old["login"])
    assert (account["is_active"], account["email_verified_at"] is not None) == (True, True)
    assert account["created_at"] == datetime(2019, 3, 1, 7, tzinfo=UTC)
    held = await api.resources.hot.fetch("SELECT role_name FROM user_roles WHERE user_id = $1", account["id"])
    assert {item["role_name"] for item in held} == {"viewer", "moderator", "content-manager"}
    kinds = await kinds_of(api, account["id"])
    assert kinds == ["new_user", "role_granted", "role_granted", "role_granted", "email_verified"]
    assert await log_in(api, old["login"]) == 200
    assert await log_in(api, gone["login"]) == 401
    other = await account_of(api, gone["login"])
    assert (other["is_active"], other["email_verified_at"]) == (False, None)
    assert await kinds_of(api, other["id"]) == ["new_user", "role_granted", "user_deactivated"]


async def test_what_only_the_database_knows_is_refused_by_line_too(api: Api, command: Command, tmp_path: Path) -> None:
    tomorrow = (api.resources.clock() + timedelta(days=1)).isoformat()
    rows = [row(), row(roles="viewer no-such-role"), row(created_at=tomorrow)]
    words = await command.refuses("users", "import", write(tmp_path, rows, ALL_COLUMNS))
    assert words.splitlines()[1:] == [
        "line 3: roles: there is no role no-such-role here",
        "line 4: created_at must not lie in the future",
    ]
    options = ["--map-role", "no-such-role=moderator"]
    assert "roles: moderator 1" in await command.does(
        "users", "import", write(tmp_path, rows[:2], ALL_COLUMNS), *options
    )
    path = write(tmp_path, [row(roles="no-such-role")], ALL_COLUMNS)
    assert "not taken over: role no-such-role 1" in await command.does("users", "import", path, "--ignore-roles")
    assert (await command("users", "import", path, "--map-role", "moderator")).code == 2


async def test_rbac_2_roles_are_granted_under_the_lock_of_access_rules(
    api: Api, command: Command, tmp_path: Path
) -> None:
    path = write(tmp_path, [row(roles="moderator")], ALL_COLUMNS)
    async with api.resources.db.begin() as session:
        await lock_access_rules(session)
        importing = asyncio.create_task(command.does("users", "import", path))
        await asyncio.wait([importing], timeout=0.5)
        assert not importing.done()
        await command.does("users", "import", write(tmp_path, [row()]))  # without roles it waits for nobody
    await importing


async def test_a_login_is_made_of_the_address_where_there_is_none(api: Api, command: Command, tmp_path: Path) -> None:
    local = unique("nameless")
    other = await api.create_user(login=unique("taken"))
    emails = [
        f"{local}@one.example",
        f"{local}@two.example",
        f"{other.login}@three.example",
        "@".join([local, "x.example"]),
    ]
    rows = [row(login="", email=emails[0]), row(login=emails[1].upper(), email=emails[1])]
    rows += [row(login="", email=email) for email in emails[2:]]
    await command.does("users", "import", write(tmp_path, rows))
    found = [await api.resources.hot.fetchval("SELECT login FROM users WHERE email = $1", email) for email in emails]
    assert found == [local, f"{local}2", f"{other.login}2", f"{local}3"]
    assert await log_in(api, emails[1]) == 200
    assert await log_in(api, f"{local}2") == 200


async def test_many_of_one_name_get_a_login_each(
    api: Api, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "CHUNK", 7)
    monkeypatch.setattr(new_login, "MOST", 15)
    local = unique("info")
    rows = [row(login="", email=f"{local}@{number}.example.com") for number in range(20)]
    await command.does("users", "import", write(tmp_path, rows))
    query = "SELECT login FROM users WHERE email LIKE $1 || '@%' ORDER BY id"
    logins = [found["login"] for found in await api.resources.hot.fetch(query, local)]
    assert logins[:15] == [local, *(f"{local}{number}" for number in range(2, 16))]
    assert all(login.startswith("user-") for login in logins[15:])
    assert len(set(logins)) == 20


async def test_logins_that_cannot_be_ours_are_replaced_on_request(api: Api, command: Command, tmp_path: Path) -> None:
    rows = [row(login="Иван Петров"), row(login="ivan+films"), row()]
    path = write(tmp_path, rows)
    assert "line 2: login may have" in await command.refuses("users", "import", path)
    assert "not taken over: login 2" in await command.does("users", "import", path, "--new-logins")
    for old in rows:
        assert await log_in(api, old["email"]) == 200
        assert (await account_of(api, old["email"].partition("@")[0]))["email"] == old["email"]


async def test_accounts_without_a_password_are_invited_or_wait_for_a_reset(
    api: Api, command: Command, tmp_path: Path
) -> None:
    invited, disabled, with_one = row(password_hash=""), row(password_hash="", is_active="no"), row()
    path = write(tmp_path, [invited, disabled, with_one], ALL_COLUMNS)
    assert "without a password: 2" in await command.does("users", "import", path, "--invite")
    assert await log_in(api, invited["login"], "") == 422
    assert await log_in(api, invited["login"]) == 401
    letter = await newest(api, invited["email"], "reset_password")
    new_password = "a password by invitation"
    body = {"token": letter.token, "new_password": new_password}
    assert (await api.http.post(f"{V1}/auth/password/reset", json=body)).status_code == 200
    assert await log_in(api, invited["login"], new_password) == 200
    assert await letters(api, disabled["email"]) == []
    assert await letters(api, with_one["email"]) == []

    waiting = row(password_hash="")
    await command.does("users", "import", write(tmp_path, [waiting]))
    assert await letters(api, waiting["email"]) == []
    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": waiting["email"]})).status_code == 202
    assert await newest(api, waiting["email"], "reset_password")


async def test_long_passwords_of_bcrypt_accounts_have_no_free_end(api: Api, command: Command, tmp_path: Path) -> None:
    """bcrypt saw 72 bytes only; whoever typed more is told it is wrong rather than let in by any ending (PWD-2)."""
    start = "x" * 72
    old: dict[str, Any] = row(password_hash=bcrypt.using(rounds=4).hash(start))
    await command.does("users", "import", write(tmp_path, [old]))
    body = {"login": old["login"], "password": start + "any ending"}
    assert error_of(await api.http.post(f"{V1}/auth/login", json=body)) == (401, "invalid_credentials")
    assert await log_in(api, old["login"], start) == 200


@pytest.mark.real_hashes
@pytest.mark.parametrize(
    "dear",
    [
        SHIPPED.replace("m=19456", "m=4194303"),
        SHIPPED.replace("t=2", "t=2000"),
        "$2b$17$" + "abcdefghijklmnopqrstuu" + "abcdefghijklmnopqrstuvwxyz0123.",
    ],
    ids=["memory", "passes", "bcrypt"],
)
async def test_pwd_6_hashes_that_cost_too_much_are_not_imported(command: Command, tmp_path: Path, dear: str) -> None:
    """One wrong login would hold a hashing thread for seconds, or for days."""
    said = await command.refuses("users", "import", write(tmp_path, [row(password_hash=dear)]))
    assert "line 2: password_hash" in said

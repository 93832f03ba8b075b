"""REG-2 for whole logins that look like another one's: none is made, and accounts of before keep theirs."""

import asyncio
import re
from pathlib import Path

import asyncpg
import httpx
import pytest
from alembic.config import Config

from alembic import command as alembic_command
from auth_service.config import Settings
from auth_service.core.confusables import look, skeleton
from auth_service.users import look_alikes
from tests.conftest import ROOT, Fresh
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, password_hash, unique
from tests.support.command import Command
from tests.support.import_file import row, stored_hash, write

TAKEN = (409, "login_taken")


async def register(api: Api, login: str) -> httpx.Response:
    body = {"login": login, "email": f"{unique('mail')}@example.com", "password": PASSWORD}
    return await api.http.post(f"{V1}/auth/register", json=body)


async def rename(api: Api, tokens: Tokens, login: str) -> httpx.Response:
    body = {"login": login, "current_password": PASSWORD}
    return await api.http.post(f"{V1}/users/me/login", json=body, headers=tokens.bearer)


ALIKE = [
    ("scope", "ѕсоре"),
    ("paper", "рарег"),
    ("admin", "ɑdmin"),
    ("admin", "admın"),
    ("admin", "ᴀᴅᴍɪɴ"),
    ("admin", "admin\u0307"),
    ("admin", "adrnin"),
    ("paypal", "paypaI"),
    ("PAYPAL", "paypaI"),
    ("john1", "johnl"),
    ("ivan0", "ivano"),
    ("josé", "jose"),
    ("søren", "soren"),
    ("алёна", "алена"),
    ("том", "tom"),  # ТОМ and TOM
    ("οnos", "onos"),
]
UNLIKE = [
    ("ivan", "иван"),
    ("ivan1", "ivan2"),
    ("user10", "user01"),
    ("alia", "alla"),
    ("anna5", "annas"),
    ("masha", "маша"),
    ("हिंदी", "हिदी"),  # marks that are vowels
    ("かき", "がき"),
    ("a-b", "a.b"),
    ("모모", "무무"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_reg_2_names_that_look_alike(one: str, other: str) -> None:
    assert look(one) == look(other)


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_reg_2_names_that_do_not(one: str, other: str) -> None:
    assert look(one) != look(other)


def test_reg_2_numbered_logins_do_not_collide() -> None:
    """What most look-alike digits would do: user0 to user999 are as many looks."""
    assert len({look(f"user{number}") for number in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text", ["admin", "ѕсоре", "ᴀᴅᴍɪɴ", "Straße", "Ω", "हिंदी", "ﷺ", "İ", "ǅ", "ẞ", "e\u0301\u0323"]
)
def test_reg_2_a_look_has_itself_as_look(text: str) -> None:
    assert look(look(text)) == look(text)
    assert skeleton(skeleton(text)) == skeleton(text)


def test_the_notice_names_the_version_of_the_data() -> None:
    made_by = (ROOT / "scripts" / "make_confusables.py").read_text(encoding="utf-8")
    (version,) = set(re.findall(r"Public/([\d.]+)/security", made_by))
    assert f"Unicode {version}" in (ROOT / "NOTICE").read_text(encoding="utf-8")


@pytest.fixture
async def alone(fresh: Fresh) -> Api:
    """Where no other test has an admin."""
    return await fresh.api()


@pytest.mark.parametrize("imitation", ["ɑdmin", "admın", "ᴀᴅᴍɪɴ", "admin\u0307", "adrnin"])
async def test_reg_2_a_look_alike_is_taken_on_every_path(alone: Api, imitation: str) -> None:
    account = await alone.create_user("superuser", login="admin")
    await look_alikes.fill(alone.resources)
    assert error_of(await register(alone, imitation)) == TAKEN
    other, tokens = await alone.as_role()
    assert error_of(await rename(alone, tokens, imitation)) == TAKEN
    boss = (await alone.log_in(account)).bearer
    new = {"login": imitation, "email": f"{unique('mail')}@example.com"}
    assert error_of(await alone.http.post(f"{V1}/admin/users", json=new, headers=boss)) == TAKEN
    patched = await alone.http.patch(f"{V1}/admin/users/{other.id}", json={"login": imitation}, headers=boss)
    assert error_of(patched) == TAKEN
    assert (
        await Command(alone.resources.settings).refuses("users", "create", imitation, new["email"], typed=PASSWORD)
        == "This login is taken.\n"
    )
    # It is nobody's name: no login by it, and nothing was changed.
    assert error_of(await alone.log_in_as(imitation, PASSWORD)) == (401, "invalid_credentials")
    assert (await alone.me(tokens)).json()["login"] == other.login


async def test_reg_2_twenty_look_alikes_at_once_are_one_account(api: Api) -> None:
    number = unique("").replace("x", "")
    names = [name + number for name in ("scope", "ѕсоре", "SCOPE", "sc0pe", "ѕсОре")] * 4
    answers = await asyncio.gather(*(register(api, name) for name in names))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert {error_of(answer) for answer in answers if answer.status_code == 409} == {TAKEN}


async def test_reg_2_renamed_at_once_to_look_alikes_one_gets_it(api: Api) -> None:
    number = unique("").replace("x", "")
    people = [await api.as_role() for _ in range(6)]
    names = [name + number for name in ("paper", "рарег") * 3]
    answers = await asyncio.gather(
        *(rename(api, tokens, name) for (_, tokens), name in zip(people, names, strict=True))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5


async def test_ones_own_look_alikes_and_other_cases_are_ones_own(api: Api) -> None:
    number = unique("").replace("x", "")
    assert (await register(api, f"Scope{number}")).status_code == 201
    login = await api.log_in_as(f"scope{number}", PASSWORD)
    tokens = Tokens(login.json()["access_token"], "", "")
    for name in ("scope", "ѕсоре", "SCOPE"):
        answer = await rename(api, tokens, f"{name}{number}")
        assert (answer.status_code, answer.json().get("login")) == (200, f"{name}{number}")
    account_id = (await api.me(tokens)).json()["id"]
    _, boss = await api.as_role("superuser")
    for name in ("ѕсоре", "Scope"):
        patch = {"login": f"{name}{number}"}
        patched = await api.http.patch(f"{V1}/admin/users/{account_id}", json=patch, headers=boss.bearer)
        assert (patched.status_code, patched.json()["login"]) == (200, f"{name}{number}")
    assert error_of(await register(api, f"ѕсоре{number}")) == TAKEN


async def test_a_look_is_free_again_with_its_login(api: Api) -> None:
    number = unique("").replace("x", "")
    account, tokens = await api.as_role()
    assert (await rename(api, tokens, f"paper{number}")).status_code == 200
    assert error_of(await register(api, f"рарег{number}")) == TAKEN
    assert (await rename(api, tokens, account.login)).status_code == 200
    assert (await register(api, f"рарег{number}")).status_code == 201
    gone = await api.log_in_as(f"рарег{number}", PASSWORD)
    bearer = {"Authorization": f"Bearer {gone.json()['access_token']}"}
    deleted = await api.http.request("DELETE", f"{V1}/users/me", json={"current_password": PASSWORD}, headers=bearer)
    assert deleted.status_code == 204
    assert (await register(api, f"paper{number}")).status_code == 201


async def _insert(settings: Settings, *logins: str) -> list[Account]:
    """As the version before wrote them: it knows nothing of looks."""
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        rows = [
            await connection.fetchrow(
                "INSERT INTO users (id, login, login_key, email, email_key, password_hash)"
                " VALUES (gen_random_uuid(), $1, lower($1), $2, $2, $3) RETURNING id, login, email",
                login,
                f"{unique('old')}@example.com",
                password_hash(),
            )
            for login in logins
        ]
    finally:
        await connection.close()
    return [Account(found["id"], found["login"], found["email"]) for found in rows if found is not None]


async def _looks(settings: Settings) -> dict[str, tuple[str | None, bool]]:
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        rows = await connection.fetch("SELECT login, look, claimed FROM users LEFT JOIN login_looks ON user_id = id")
    finally:
        await connection.close()
    return {found["login"]: (found["look"], found["claimed"]) for found in rows}


@pytest.mark.long
async def test_rel_8_accounts_of_before_0010_keep_their_logins_and_get_looks(fresh: Fresh) -> None:
    settings = await fresh.settings()
    config = Config(str(ROOT / "alembic.ini"), attributes={"settings": settings})
    await asyncio.to_thread(alembic_command.downgrade, config, "0009")
    paper, imitation, other = await _insert(settings, "paper", "рарег", "other")
    alike = {"paper": ("paper", False), "рарег": ("paper", False), "other": ("other", False)}

    assert "migrated" in await Command(settings).does("migrate")
    assert "migrated" in await Command(settings).does("migrate")  # and once more, with nothing left to do

    assert await _looks(settings) == alike
    api = await fresh.on(settings)
    await api.log_in(imitation)
    for account in (paper, other):
        tokens = await api.log_in(account)
        assert (await rename(api, tokens, account.login.upper())).status_code == 200
    assert error_of(await register(api, "ᴘᴀᴘᴇʀ")) == TAKEN
    tokens = await api.log_in(paper)
    deleted = await api.http.request(
        "DELETE", f"{V1}/users/me", json={"current_password": PASSWORD}, headers=tokens.bearer
    )
    assert deleted.status_code == 204
    assert error_of(await register(api, "paper")) == TAKEN, "the other one still has its login"


async def test_rel_8_what_the_version_before_writes_meanwhile_counts_too(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    (renamed,) = await _insert(settings, "someone")
    await _insert(settings, "scope")
    assert (await _looks(settings))["scope"] == (None, False)
    assert error_of(await register(api, "ѕсоре")) == TAKEN, "before anybody has filled it in"
    assert (await register(api, "paper")).status_code == 201

    await look_alikes.fill(api.resources)
    assert (await _looks(settings))["scope"] == ("scope", False)
    assert error_of(await register(api, "ѕсоре")) == TAKEN

    connection = await asyncpg.connect(settings.direct_address.dsn)
    await connection.execute("UPDATE users SET login = 'рарег', login_key = 'рарег' WHERE id = $1", renamed.id)
    await connection.execute("UPDATE users SET login = 'xero', login_key = 'xero' WHERE login = 'paper'")
    await connection.close()
    assert error_of(await register(api, "paper")) == TAKEN, "by the account that was renamed"
    assert await look_alikes.fill(api.resources) == 2
    assert {login: looks for login, looks in (await _looks(settings)).items() if login in {"рарег", "xero"}} == {
        "рарег": ("paper", False),
        "xero": ("xero", False),
    }


@pytest.fixture
def command(api: Api, shared_settings: Settings) -> Command:
    """On the stores of the shared app."""
    return Command(shared_settings)


async def test_an_import_names_look_alikes_line_by_line(api: Api, command: Command, tmp_path: Path) -> None:
    number = unique("").replace("x", "")
    assert (await register(api, f"scope{number}")).status_code == 201
    rows = [row(login=f"paper{number}"), row(login=f"рарег{number}"), row(login=f"ѕсоре{number}"), row()]
    words = await command.refuses("users", "import", write(tmp_path, rows))
    assert words.splitlines()[1:] == ["line 3: the login looks like that of line 2"]
    path = write(tmp_path, [rows[0], rows[2], rows[3]])
    for options in ((), ("--skip-existing",)):  # it is not who is here already
        words = await command.refuses("users", "import", path, *options)
        assert words.splitlines()[1:] == ["line 3: the login looks like that of an account here"]
    assert await stored_hash(api, rows[3]["login"]) is None

    said = await command.does("users", "import", write(tmp_path, rows), "--keep-look-alikes")
    assert "imported 4 users, left out 0" in said
    for kept in rows:
        assert (await api.log_in_as(kept["login"], PASSWORD)).status_code == 200
    assert error_of(await register(api, f"ᴘᴀᴘᴇʀ{number}")) == TAKEN


async def test_what_was_imported_is_claimed(api: Api, command: Command, tmp_path: Path) -> None:
    number = unique("").replace("x", "")
    await command.does("users", "import", write(tmp_path, [row(login=f"paper{number}")]))
    assert error_of(await register(api, f"рарег{number}")) == TAKEN

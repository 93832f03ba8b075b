"""Hashes that other systems made: verified, replaced at the first login, and refused where one login would cost too
much (PWD-5, PWD-6).
"""

import statistics
import time
from pathlib import Path

import pytest

from auth_service.config import Settings
from auth_service.core.passwords.foreign_hashes import as_stored, of_keycloak
from auth_service.core.passwords.hashing import PasswordHasher, hash_now, is_known_hash
from tests.support.api import Api
from tests.support.command import Command
from tests.support.foreign_hashes import MAKERS
from tests.support.import_file import Row, row, stored_hash, write

LONG_PASSWORD = "пароль, который длиннее 72 байт: é ü 日本語 и ещё немного"
KEY = "A" * 43  # 32 bytes in base64


@pytest.fixture
def command(api: Api, shared_settings: Settings) -> Command:
    return Command(shared_settings)


def password_of(kind: str) -> str:
    """bcrypt sees 72 bytes and no more."""
    return LONG_PASSWORD[:30] if kind in {"django bcrypt", "php bcrypt"} else LONG_PASSWORD


async def first_login(api: Api, old: Row, password: str, made: str) -> None:
    before = await stored_hash(api, old["login"])
    assert before is not None
    assert (await api.log_in_as(old["login"], password + "!")).status_code == 401, made
    assert await stored_hash(api, old["login"]) == before
    assert (await api.log_in_as(old["login"], password)).status_code == 200, made
    after = await stored_hash(api, old["login"])
    assert after is not None
    assert after.startswith("$argon2id$v=19$")
    assert after != before


async def test_pwd_5_hashes_of_other_systems_let_in_and_become_argon2id(
    api: Api, command: Command, tmp_path: Path
) -> None:
    made = {kind: row(password_hash=make(password_of(kind))) for kind, make in MAKERS.items()}
    await command.does("users", "import", write(tmp_path, list(made.values())))
    for kind, old in made.items():
        await first_login(api, old, password_of(kind), kind)


@pytest.mark.long
@pytest.mark.parametrize("kind", MAKERS)
async def test_pwd_5_a_thousand_accounts_of_each_kind(api: Api, command: Command, tmp_path: Path, kind: str) -> None:
    rows = [row(password_hash=MAKERS[kind](password_of(kind))) for _ in range(1000)]
    assert "imported 1000 users" in await command.does("users", "import", write(tmp_path, rows))
    await first_login(api, rows[500], password_of(kind), kind)


SHIPPED_COSTS = {
    "django 5.2, pbkdf2": f"pbkdf2_sha256$1000000$salt${KEY}=",
    "django 6.1, pbkdf2": f"pbkdf2_sha256$1500000$salt${KEY}=",
    "django, pbkdf2 with sha1": f"pbkdf2_sha1$1500000$salt${'A' * 27}=",
    "django, argon2": f"argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHQ${KEY}",
    "django, scrypt": f"scrypt$16384$salt$8$5${'A' * 86}==",
    "django, bcrypt_sha256": "bcrypt_sha256$$2b$12$abcdefghijklmnopqrstuu" + "a" * 31,
    "passlib, scrypt": f"$scrypt$ln=16,r=8,p=1$c2FsdA${KEY}",
    "werkzeug, scrypt": "scrypt:32768:8:1$salt$" + "ab" * 64,
    "werkzeug, pbkdf2": "pbkdf2:sha256:1000000$salt$" + "ab" * 32,
    "php, argon2id": f"$argon2id$v=19$m=65536,t=4,p=1$c2FsdHNhbHQ${KEY}",
    "owasp, scrypt": f"$scrypt$ln=17,r=8,p=1$c2FsdA${KEY}",
}


@pytest.mark.parametrize("made", SHIPPED_COSTS.values(), ids=SHIPPED_COSTS)
def test_what_systems_hash_with_today_is_bearable(made: str) -> None:
    assert is_known_hash(as_stored(made))


KEYCLOAK_COSTS = [("pbkdf2", 1_300_000), ("pbkdf2-sha256", 600_000), ("pbkdf2-sha512", 210_000)]


@pytest.mark.parametrize(("algorithm", "iterations"), KEYCLOAK_COSTS)
def test_what_keycloak_hashes_with_today_is_bearable(algorithm: str, iterations: int) -> None:
    assert is_known_hash(of_keycloak(algorithm, iterations, "A" * 86 + "==", "c2FsdA==", {}))


TOO_DEAR = [
    f"pbkdf2_sha256$2000001$salt${KEY}=",
    f"pbkdf2_sha1$2000001$salt${'A' * 27}=",
    f"$pbkdf2-sha512$1000001$c2FsdA${'A' * 86}",
    f"$pbkdf2-sha256$i=4000000000$c2FsdA${KEY}",
    f"$scrypt$ln=20,r=8,p=1$c2FsdA${KEY}",
    f"$scrypt$ln=14,r=8,p=500$c2FsdA${KEY}",
    f"scrypt$1048576$salt$8$1${'A' * 86}==",
    "scrypt:1073741824:8:1$salt$" + "ab" * 64,
    f"argon2$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ${KEY}",
    f"$argon2id$v=19$m=262144,t=1,p=32768$c2FsdHNhbHQ${KEY}",
    "bcrypt_sha256$$2b$17$abcdefghijklmnopqrstuu" + "a" * 31,
]
BROKEN = [
    "pbkdf2_sha256$1000$salt$",
    f"pbkdf2_sha256$x$salt${KEY}=",
    "pbkdf2_sha256$1000$salt$AAAA",
    "pbkdf2_sha256$1000$salt$ÄÄÄ",
    f"pbkdf2_md5$1000$salt${KEY}",
    f"$pbkdf2-sha256$1000$!${KEY}",
    f"$pbkdf2-sha256$0$c2FsdA${KEY}",
    f"scrypt$3$salt$8$1${'A' * 86}==",
    f"scrypt$16384$salt$0$1${'A' * 86}==",
    f"$scrypt$n=16,r=8,p=1$c2FsdA${KEY}",
    "$scrypt$ln=16,r=8,p=1$c2FsdA$AAAA",
    "bcrypt$" + "a" * 60,
    "argon2$argon2id$",
    "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99",
    "sha1$salt$5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8",
]


async def test_pwd_6_hashes_that_cost_too_much_or_are_none_are_refused_by_line(
    api: Api, command: Command, tmp_path: Path
) -> None:
    good = row()
    began = time.perf_counter()
    for some in (TOO_DEAR, BROKEN):
        rows = [row(password_hash=made) for made in some]
        words = await command.refuses("users", "import", write(tmp_path, [good, *rows]))
        assert [line.split(" ")[:3] for line in words.splitlines()[1:]] == [
            ["line", f"{number}:", "password_hash"] for number in range(3, 3 + len(some))
        ]
        assert not any(made in words or KEY in words for made in some)
    assert time.perf_counter() - began < 10  # nothing was hashed for it
    assert await stored_hash(api, good["login"]) is None


@pytest.mark.real_hashes
async def test_log_1_a_wrong_password_takes_no_less_where_the_foreign_hash_is_quick() -> None:
    """Else it would tell that the account exists. A dearer one does tell, until its owner has logged in."""
    hasher = PasswordHasher(workers=1, queue=1)
    quick = as_stored(MAKERS["django pbkdf2_sha256"]("right"))
    times: dict[str, list[float]] = {"nobody": [], "foreign": []}
    try:
        async with hasher.slot() as slot:
            for _ in range(5):
                began = time.perf_counter()
                await slot.verify_nobody("wrong")
                times["nobody"].append(time.perf_counter() - began)
                began = time.perf_counter()
                assert await slot.verify("wrong", quick) == (False, None)
                times["foreign"].append(time.perf_counter() - began)
            assert (await slot.verify("right", quick))[0]
            assert await slot.verify("right", hash_now("right")) == (True, None)
    finally:
        hasher.close()
    nobody, foreign = (statistics.median(times[who]) for who in ("nobody", "foreign"))
    assert foreign > nobody / 2

"""Passwords without a server: rules, hashes, and what older systems left. Pure."""

import asyncio
import os
import sys
import threading
import unicodedata

import bcrypt
import pytest

from auth_service.core.errors import Busy
from auth_service.core.passwords.hashing import (
    HASHING_NICENESS,
    PasswordHasher,
    _verify_now,
    check_rules,
    hash_now,
    is_known_hash,
    normalize,
)

pytestmark = pytest.mark.real_hashes

PASSWORD = "correct horse battery staple"
HASH = hash_now(PASSWORD)


def bcrypt_of(password: str, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix=prefix)).decode()


@pytest.mark.parametrize(
    "password",
    ["85236974", " " * 8, "😀" * 8, "пароль12", "a" * 256, "é" * 256, "tab\tand\nnewline", "\u200b" * 8],
)
def test_pwd_1_no_rules_of_composition(password: str) -> None:
    assert check_rules(password) == unicodedata.normalize("NFC", password)


@pytest.mark.parametrize("password", ["", "1234567", "😀" * 7, "e\u0301" * 7, "a" * 257, "😀" * 257])
def test_pwd_1_lengths_are_counted_in_code_points_as_normalised(password: str) -> None:
    with pytest.raises(ValueError, match=r"must have at (least|most)"):
        check_rules(password)


def test_pwd_2_nothing_is_cut_off() -> None:
    for char in ("x", "😀"):
        long = char * (72 // len(char.encode()))
        stored = hash_now(f"{long}one")
        assert _verify_now(f"{long}one", stored) == (True, None)
        assert _verify_now(f"{long}two", stored) == (False, None)
        assert _verify_now(long, stored) == (False, None)


def test_pwd_2_bcrypt_and_72_bytes() -> None:
    at_the_limit = "x" * 72
    stored = bcrypt_of(at_the_limit)
    assert _verify_now(at_the_limit, stored)[0]
    assert _verify_now(f"{at_the_limit}y", stored) == (False, None)
    assert _verify_now("x" * 71, stored) == (False, None)
    assert _verify_now("é" * 37, bcrypt_of("é" * 36)) == (False, None)


def test_pwd_4_normal_form() -> None:
    assert normalize("e\u0301") == "\u00e9"
    assert _verify_now("e\u0301" * 8, hash_now("\u00e9" * 8)) == (True, None)
    assert not _verify_now(f"{PASSWORD} ", HASH)[0]
    assert not _verify_now(PASSWORD.upper(), HASH)[0]


def test_pwd_5_new_hashes_are_argon2id_of_owasps_floor_and_salted() -> None:
    assert HASH.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_now(PASSWORD) != HASH
    assert _verify_now(PASSWORD, HASH) == (True, None)


@pytest.mark.parametrize("prefix", [b"2a", b"2b"])
def test_pwd_5_bcrypt_is_upgraded_only_when_it_matches(prefix: bytes) -> None:
    stored = bcrypt_of(PASSWORD, prefix)
    matches, upgraded = _verify_now(PASSWORD, stored)
    assert matches
    assert upgraded is not None
    assert _verify_now(PASSWORD, upgraded) == (True, None)
    assert _verify_now("wrong", stored) == (False, None)


def test_pwd_5_weaker_argon2_is_upgraded() -> None:
    from argon2 import PasswordHasher as Argon2

    weak = Argon2(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    matches, upgraded = _verify_now(PASSWORD, weak)
    assert matches
    assert upgraded is not None
    assert upgraded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


UNREADABLE = [
    "",
    "!",
    "*",
    "plain text",
    "$argon2id$",
    "$argon2id$v=19$m=1",
    HASH.rpartition("$")[0],
    HASH[:-5].replace("m=19456", "m=x"),
    "$2b$",
    "$2b$12$short",
    "$2b$99$" + "." * 53,
    "$6$salt$sha512crypt",
]


@pytest.mark.parametrize("stored", UNREADABLE, ids=range(len(UNREADABLE)))
def test_log_1_stored_hash_that_nothing_can_read_is_a_wrong_password(stored: str) -> None:
    """Not an error: a 500 would tell that the account exists."""
    assert not is_known_hash(stored)
    assert _verify_now(PASSWORD, stored) == (False, None)


@pytest.mark.parametrize(
    "stored", [HASH, bcrypt_of(PASSWORD), bcrypt_of(PASSWORD, b"2a")], ids=["argon2id", "2b", "2a"]
)
def test_known_hashes(stored: str) -> None:
    assert is_known_hash(stored)


async def test_pwd_6_queue_is_bounded() -> None:
    hasher = PasswordHasher(workers=1, queue=1)
    try:
        async with hasher.slot() as slot:
            waiting = asyncio.create_task(hasher.hash(PASSWORD))
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                await hasher.hash(PASSWORD)
            matches, _ = await slot.verify(PASSWORD, HASH)
            assert matches
            await slot.verify_nobody(PASSWORD)
        assert is_known_hash(await waiting)
    finally:
        hasher.close()
    assert Busy().headers["Retry-After"] == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority is the whole process's")
async def test_pwd_6_a_hash_gives_way_to_whoever_answers_requests() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    mine = niceness()
    hasher = PasswordHasher(2, 1)
    try:
        async with hasher.slot() as slot:
            assert await slot._run(niceness) == min(19, mine + HASHING_NICENESS)
    finally:
        hasher.close()
    assert niceness() == mine

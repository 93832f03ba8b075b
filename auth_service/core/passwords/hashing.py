"""Hash, verify and upgrade passwords in a bounded pool; the only file that imports passlib (as libpass)."""

import asyncio
import os
import re
import sys
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from passlib.context import CryptContext

from auth_service.core.passwords.common_passwords import is_common
from auth_service.core.priority_slots import PrioritySlots

MIN_LENGTH, MAX_LENGTH, MAX_BYTES = 8, 256, 1024
SHORTEST_WORD = 3  # a mailbox called "a" must not take every a out of a password
BCRYPT_BYTES = 72
HASHING_NICENESS = 10
# About a second of one core each; a dearer hash would let a wrong login hold a hashing thread.
MAX_BCRYPT_COST, MAX_ARGON2_KIB, MAX_ARGON2_PASSES, MAX_ARGON2_LANES = 14, 256 * 1024, 10, 64
MAX_PBKDF2_ROUNDS = {"pbkdf2_sha1": 2_000_000, "pbkdf2_sha256": 2_000_000, "pbkdf2_sha512": 1_000_000}
MAX_SCRYPT_BYTES = 256 * 1024 * 1024  # those that it goes through: 128 N r p (RFC 7914)
MAX_PAUSE_SECONDS = 0.5

# OWASP's floor, 36 ms on one of our cores; all others only verify what older systems left (PWD-5).
_context = CryptContext(
    schemes=["argon2", "bcrypt", "django_bcrypt_sha256", "bcrypt_sha256", *MAX_PBKDF2_ROUNDS, "scrypt"],
    deprecated="auto",
    argon2__type="ID",
    argon2__memory_cost=19 * 1024,
    argon2__time_cost=2,
    argon2__parallelism=1,
)
_UNREADABLE = (ValueError, TypeError, AssertionError)  # what libpass raises for a hash that is none
Result = TypeVar("Result")


def normalize(password: str) -> str:
    """The one change made to what was typed: NFC, so that é is é on every keyboard (PWD-4)."""
    return unicodedata.normalize("NFC", password)


def check_rules(password: str) -> str:
    """The normalised password; raises ValueError with words for the user. Counts code points (PWD-1 to PWD-3)."""
    normal = normalize(password)
    if len(normal) < MIN_LENGTH:
        raise ValueError(f"must have at least {MIN_LENGTH} characters")
    if len(normal) > MAX_LENGTH or len(normal.encode()) > MAX_BYTES:
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    if is_common(normal):
        raise ValueError("is one of the passwords that are guessed first, perhaps with digits or ! appended")
    return normal


def check_context(password: str, words: Iterable[str]) -> None:
    """Raises ValueError where too little is left without what a guesser knows: login, mailbox, brand (PWD-3)."""
    known = {normalize(word).casefold() for word in words if len(word) >= SHORTEST_WORD}
    longest_first = sorted(known, key=len, reverse=True)
    rest = normalize(password).casefold()
    if longest_first:
        rest = re.sub("|".join(map(re.escape, longest_first)), "", rest)
    if len(rest) < MIN_LENGTH:
        raise ValueError(
            f"must have at least {MIN_LENGTH} characters besides the login, the e-mail address and our name"
        )


def is_known_hash(stored: str) -> bool:
    """Whether a login could verify it, at a bearable cost; spelled as by `foreign_hashes.as_stored`."""
    scheme = _context.identify(stored, resolve=True)
    if scheme is None:
        return False
    try:
        parsed = scheme.from_string(stored)
    except _UNREADABLE:  # it only begins like one
        return False
    return parsed.checksum is not None and _is_bearable(scheme.name, parsed)


def _is_bearable(scheme: str, parsed: Any) -> bool:
    if scheme == "argon2":
        lanes, passes = parsed.parallelism <= MAX_ARGON2_LANES, parsed.rounds <= MAX_ARGON2_PASSES
        return bool(lanes and passes and parsed.memory_cost <= MAX_ARGON2_KIB)
    if scheme == "scrypt":
        return bool(128 * 2**parsed.rounds * parsed.block_size * parsed.parallelism <= MAX_SCRYPT_BYTES)
    return bool(parsed.rounds <= MAX_PBKDF2_ROUNDS.get(scheme, MAX_BCRYPT_COST))


def _is_own(stored: str) -> bool:
    try:
        return not _context.needs_update(stored)
    except _UNREADABLE:
        return False


def hash_now(password: str) -> str:
    """Takes 40 ms of a core: not for the event loop."""
    return str(_context.hash(normalize(password)))


def _verify_now(password: str, stored: str) -> tuple[bool, str | None]:
    typed = normalize(password)
    if stored.startswith("$2") and len(typed.encode()) > BCRYPT_BYTES:
        # bcrypt cannot see past 72 bytes; the dummy keeps the time, and no tail is ignored (PWD-2).
        _context.dummy_verify()
        return False, None
    try:
        matches, upgraded = _context.verify_and_update(typed, stored)
    except _UNREADABLE:  # not a hash of ours: nobody's password, and no other answer than a wrong one (LOG-1)
        _context.dummy_verify()
        return False, None
    return bool(matches), upgraded


def _give_way() -> None:
    """This thread alone: whoever answers a request, in this process or another one, goes before a hash. Linux knows
    priorities of threads; elsewhere it would be the whole process.
    """
    if sys.platform == "linux":
        os.nice(HASHING_NICENESS)


class PasswordHasher:
    """As many hashes at once as cores, a bounded queue behind them, Busy (503) beyond (PWD-6)."""

    def __init__(self, workers: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="password", initializer=_give_way)
        self._slots = PrioritySlots(workers, queue)
        began = time.perf_counter()
        # Verified for unknown users, so that they take as long as known ones (LOG-1).
        self._nobody = hash_now("nobody has this password")
        self._usual = _Usual(time.perf_counter() - began)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def inside(self) -> int:
        """How many hash, or wait for their turn."""
        return self._slots.inside

    @asynccontextmanager
    async def slot(self, *, first: bool = False) -> AsyncIterator["HashingSlot"]:
        """A turn at a core. What must come right before the hash, such as counting the try, goes in the block.

        `first`: before all who are not, so that a flood of strangers keeps no known device waiting (LOG-4).
        """
        async with self._slots.slot(first=first):
            yield HashingSlot(self._pool, self._nobody, self._usual)

    async def hash(self, password: str) -> str:
        async with self.slot() as slot:
            return await slot.hash(password)


@dataclass(slots=True)
class _Usual:
    """How long a hash of our own took to verify, the last time."""

    seconds: float


class HashingSlot:
    """Valid inside `async with hasher.slot()` only."""

    def __init__(self, pool: ThreadPoolExecutor, nobody: str, usual: _Usual) -> None:
        self._pool = pool
        self._nobody = nobody
        self._usual = usual

    async def hash(self, password: str) -> str:
        return await self._run(lambda: hash_now(password))

    async def verify(self, password: str, stored: str) -> tuple[bool, str | None]:
        """Whether it matches, and a new hash where the stored one should be replaced."""
        return await self._run(lambda: self._verify(password, stored))

    async def verify_nobody(self, password: str) -> None:
        """As long as a real verification, and never right."""
        await self._run(lambda: self._verify(password, self._nobody))

    def _verify(self, password: str, stored: str) -> tuple[bool, str | None]:
        """A foreign hash that is quicker than ours would tell by a wrong password that the account exists (LOG-1)."""
        began = time.perf_counter()
        matches, upgraded = _verify_now(password, stored)
        took = time.perf_counter() - began
        if _is_own(stored):
            self._usual.seconds = took
        elif not matches:
            time.sleep(min(max(0, self._usual.seconds - took), MAX_PAUSE_SECONDS))
        return matches, upgraded

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

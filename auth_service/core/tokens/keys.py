"""The signing keys of this deployment: kept sealed in Postgres, held in memory, rotated without a 401 (JWT-7)."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson

from auth_service.config import Settings
from auth_service.core.clock import Clock
from auth_service.core.errors import Unavailable, is_store_failure
from auth_service.core.secrets import Secrets
from auth_service.core.tokens.access_tokens import (
    AccessClaims,
    KeyPair,
    SubjectKind,
    TokenRules,
    UnknownKey,
    check_times,
    generate_key,
    load_key,
    mint,
    verify,
)
from auth_service.core.tokens.verified import Verified
from auth_service.locks import Advisory, hold

RELOAD_SECONDS = 15
UNKNOWN_KEY_RELOAD_SECONDS = 5
DEAF_RELOAD_SECONDS = 0.5  # less than what a change of keys waits for
JWKS_MAX_AGE_SECONDS = 300
# A key signs only after every worker has had a reload to learn of it, even in an emergency.
SHORTEST_OVERLAP = timedelta(seconds=RELOAD_SECONDS + 5)


class KeyRing:
    """`load` before use and every RELOAD_SECONDS; without a key it answers Unavailable (503)."""

    def __init__(
        self, pool: asyncpg.Pool, secrets: Secrets, settings: Settings, clock: Clock, hears: Callable[[], bool]
    ) -> None:
        """`hears`: whether `distrust` has been called for every change of keys that was answered."""
        self._pool = pool
        self._hears = hears
        self._told = 0  # how often keys were said to have changed
        self._read = 0  # of that, what the last reading knew
        self._secrets = secrets
        self._clock = clock
        self._overlap = timedelta(seconds=settings.key_overlap_seconds)
        self.rules = TokenRules(
            issuer=settings.issuer,
            audience=settings.audience,
            life_seconds=settings.access_token_seconds,
            leeway_seconds=settings.clock_leeway_seconds,
        )
        self._keys: dict[str, KeyPair] = {}
        self._verified = Verified()
        self._loaded_at: float | None = None
        self._reloading = asyncio.Lock()

    @property
    def loaded(self) -> bool:
        return bool(self._keys)

    async def load(self) -> None:
        """Reads the live keys; makes the first one of a new deployment."""
        # Both of before the reading: what is told meanwhile is read again, and a slow answer is old when it comes.
        told, asked_at = self._told, asyncio.get_running_loop().time()
        rows = await self._live_rows()
        if not any(row["signs_from"] <= self._clock() for row in rows):
            await self._create_first()
            rows = await self._live_rows()
        self._keys = {row["kid"]: self._opened(row) for row in rows}
        self._loaded_at, self._read = asked_at, told

    def mint(
        self, *, subject: Any, kind: SubjectKind, session_id: Any, epoch: int, scopes: tuple[str, ...] = ()
    ) -> str:
        now = self._clock()
        return mint(
            self.rules,
            self._signing_key(now),
            now,
            subject=subject,
            kind=kind,
            session_id=session_id,
            epoch=epoch,
            scopes=scopes,
        )

    async def verify(self, token: str, *, expired_too: bool = False) -> AccessClaims:
        """Raises InvalidToken; asks Postgres for newer keys at an unknown kid, at most every five seconds."""
        await self.look_again()
        now = self._clock()
        live = self._live(now)
        if not live:
            raise Unavailable("The signing keys are not loaded yet; is Postgres reachable and migrated?")
        if (known := self._verified.find(token)) is not None and known[0] in live:
            claims = known[1]
            check_times(self.rules, claims.issued_at, claims.expires_at, int(now.timestamp()), expired_too=expired_too)
            return claims
        try:
            return self._verify(live, token, now, expired_too=expired_too)
        except UnknownKey:
            # One reload for all who wait here, however many kids are made up at once.
            async with self._reloading:
                if self._age() >= UNKNOWN_KEY_RELOAD_SECONDS:
                    await self.load()
        return self._verify(self._live(now), token, now, expired_too=expired_too)

    def distrust(self) -> None:
        """Keys have changed, or may have: the next token is verified with keys that are read after this."""
        self._told += 1

    def good_until(self, token: str) -> float | None:
        """The Unix time at which a token that was verified expires, or its key retires; None if it is not known."""
        known = self._verified.find(token)
        key = None if known is None else self._keys.get(known[0])
        if known is None or key is None or self._distrusted:
            return None
        expires_at = float(known[1].expires_at + self.rules.leeway_seconds)
        return expires_at if key.retires_at is None else min(expires_at, key.retires_at.timestamp())

    async def is_recorded(self, token: str) -> bool:
        """Whether Postgres, now, has the key that verified it; this worker may not have heard that it was retired."""
        known = self._verified.find(token)
        recorded: bool = await self._pool.fetchval(
            "SELECT EXISTS (SELECT FROM signing_keys WHERE kid = $1 AND (retires_at IS NULL OR retires_at > $2))",
            None if known is None else known[0],
            self._clock(),
        )
        return recorded

    async def look_again(self) -> None:
        """Reads the keys where they have changed, or may have; to be asked before one is believed, or signs. One
        reading for all who come. Where nobody tells of new keys, twice a second, and not at all if it fails.
        """
        if not self._distrusted and (self._hears() or self._age() < DEAF_RELOAD_SECONDS):
            return
        async with self._reloading:
            if self._distrusted:
                await self.load()
            elif self._age() >= DEAF_RELOAD_SECONDS:
                self._loaded_at = asyncio.get_running_loop().time()
                try:
                    await self.load()
                except Exception as error:
                    if not is_store_failure(error):
                        raise

    @property
    def _distrusted(self) -> bool:
        return self._told != self._read

    def _age(self) -> float:
        """Seconds since the keys were read."""
        return asyncio.get_running_loop().time() - (self._loaded_at or float("-inf"))

    def _verify(self, live: dict[str, KeyPair], token: str, now: datetime, *, expired_too: bool) -> AccessClaims:
        kid, claims = verify(self.rules, live, token, now, expired_too=expired_too)
        self._verified.keep(token, kid, claims)
        return claims

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """RFC 7517: the public keys, those of coming and of just replaced signing keys included."""
        now = self._clock()
        return {"keys": [key.public_jwk for key in self._live(now).values()]}

    async def rotate_in(self, connection: Any, *, soon: bool) -> tuple[str, datetime]:
        """A new key and when it starts to sign; the older ones retire when their last token is dead.

        In the caller's transaction; the caller loads before it and after it.
        """
        now = self._clock()
        signs_from = now + (SHORTEST_OVERLAP if soon else max(self._overlap, SHORTEST_OVERLAP))
        last_token_dead = signs_from + timedelta(
            seconds=self.rules.life_seconds + self.rules.leeway_seconds + RELOAD_SECONDS
        )
        await hold(connection, Advisory.SIGNING_KEYS)
        # A coming key that would take over from this one again never gets to sign.
        await connection.execute(
            "UPDATE signing_keys SET retires_at = CASE WHEN signs_from >= $2 THEN $3::timestamptz ELSE $1 END"
            " WHERE retires_at IS NULL",
            last_token_dead,
            signs_from,
            now,
        )
        return await self._insert(connection, signs_from), signs_from

    async def retire_in(self, connection: Any, kid: str) -> bool:
        """Ends a leaked key on every worker within RELOAD_SECONDS; False if no live key has this kid.

        In the caller's transaction; the caller loads after it.
        """
        now = self._clock()
        await hold(connection, Advisory.SIGNING_KEYS)
        found = await connection.fetchval(
            "UPDATE signing_keys SET retires_at = $2 WHERE kid = $1"
            " AND (retires_at IS NULL OR retires_at > $2) RETURNING kid",
            kid,
            now,
        )
        # What is left must sign now, and go on for good: a key that was being replaced is not enough.
        enough = await connection.fetchval(
            "SELECT coalesce(bool_or(signs_from <= $1) AND bool_or(retires_at IS NULL), false)"
            " FROM signing_keys WHERE retires_at IS NULL OR retires_at > $1",
            now,
        )
        if found and not enough:
            await self._insert(connection, now)
        return found is not None

    async def replace_in(self, connection: Any) -> str:
        """All keys end now, and a new one, whose kid is returned, signs at once.

        In the caller's transaction; the caller loads after it.
        """
        now = self._clock()
        await hold(connection, Advisory.SIGNING_KEYS)
        await connection.execute(
            "UPDATE signing_keys SET retires_at = $1 WHERE retires_at IS NULL OR retires_at > $1", now
        )
        return await self._insert(connection, now)

    async def reseal_in(self, connection: Any) -> int:
        """How many SECRET_KEY did not open: those are sealed with it, in the caller's transaction."""
        await hold(connection, Advisory.SIGNING_KEYS)
        count = 0
        for row in await connection.fetch("SELECT kid, private_pem FROM signing_keys"):
            bound_to = _bound_to(row["kid"])
            if not self._secrets.is_current(row["private_pem"], bound_to=bound_to):
                pem = self._secrets.unseal(row["private_pem"], bound_to=bound_to)
                sealed = self._secrets.seal(pem, bound_to=bound_to)
                await connection.execute("UPDATE signing_keys SET private_pem = $2 WHERE kid = $1", row["kid"], sealed)
                count += 1
        return count

    async def overview(self) -> list[dict[str, Any]]:
        """Every key ever, newest first, without its private part."""
        rows = await self._pool.fetch(
            "SELECT kid, created_at, signs_from, retires_at FROM signing_keys ORDER BY signs_from DESC"
        )
        now = self._clock()
        signing = max((row["signs_from"] for row in rows if row["signs_from"] <= now), default=None)
        return [dict(row) | {"state": _state(row, now, signing)} for row in rows]

    async def unopenable(self) -> list[str]:
        """Kids of live keys that neither SECRET_KEY nor SECRET_KEY_PREVIOUS opens."""
        rows = await self._live_rows()
        return [r["kid"] for r in rows if not self._secrets.can_open(r["private_pem"], bound_to=_bound_to(r["kid"]))]

    def _live(self, now: datetime) -> dict[str, KeyPair]:
        return {kid: key for kid, key in self._keys.items() if key.retires_at is None or key.retires_at > now}

    def _signing_key(self, now: datetime) -> KeyPair:
        ready = [key for key in self._live(now).values() if key.signs_from <= now]
        if not ready:
            raise Unavailable("No signing key is loaded; is Postgres reachable and migrated?")
        return max(ready, key=lambda key: key.signs_from)

    async def _live_rows(self) -> list[Any]:
        rows: list[Any] = await self._pool.fetch(
            "SELECT kid, private_pem, public_jwk, signs_from, retires_at FROM signing_keys"
            " WHERE retires_at IS NULL OR retires_at > $1",
            self._clock(),
        )
        return rows

    async def _create_first(self) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await hold(connection, Advisory.SIGNING_KEYS)
            if not await connection.fetchval(
                "SELECT count(*) FROM signing_keys WHERE signs_from <= $1 AND (retires_at IS NULL OR retires_at > $1)",
                self._clock(),
            ):
                await self._insert(connection, self._clock())

    async def _insert(self, connection: Any, signs_from: datetime) -> str:
        kid, pem, public_jwk = await asyncio.to_thread(generate_key)
        await connection.execute(
            "INSERT INTO signing_keys (kid, private_pem, public_jwk, signs_from) VALUES ($1, $2, $3, $4)",
            kid,
            self._secrets.seal(pem, bound_to=_bound_to(kid)),
            orjson.dumps(public_jwk).decode(),
            signs_from,
        )
        return kid

    def _opened(self, row: Any) -> KeyPair:
        kid = row["kid"]
        pem = self._secrets.unseal(row["private_pem"], bound_to=_bound_to(kid))
        return load_key(kid, pem, orjson.loads(row["public_jwk"]), row["signs_from"], row["retires_at"])


def _bound_to(kid: str) -> str:
    return f"signing-key:{kid}"


def _state(row: Any, now: datetime, signing: datetime | None) -> str:
    if row["retires_at"] is not None and row["retires_at"] <= now:
        return "retired"
    if row["signs_from"] > now:
        return "coming"
    return "signing" if row["signs_from"] == signing else "verifying"

"""The service's public keys (RFC 7517): kept, and asked for again at a key id that is not known."""

import asyncio
import time

import jwt

from auth_service_client.access_tokens import BadToken, Rules
from auth_service_client.config import Config
from auth_service_client.errors import Unavailable
from auth_service_client.tasks import Flight
from auth_service_client.transport import Transport, body_of, not_ours, refusal

KEYS_PATH = "/.well-known/jwks.json"
ABOUT_PATH = "/.well-known/oauth-authorization-server"
KEEP_SECONDS = 300.0  # as the service says; a key that was retired counts no longer
RENEW_SECONDS = 240.0
# After they have changed the worker that is asked may not have heard of it, and would have a new key count as none.
SETTLE_SECONDS, AGAIN_SOON_SECONDS = 5.0, 0.1
AGAIN_SECONDS = 3.0  # strangers must not make us ask more often, whatever key ids they think of


class Keys:
    """Of one event loop. Times are monotonic seconds."""

    def __init__(self, config: Config, transport: Transport) -> None:
        self._config, self._transport = config, transport
        self._keys: dict[str, jwt.PyJWK] = {}
        self._rules = None if config.issuer is None else Rules(config.issuer, config.audience)
        self._asked_at = self._loaded_at = self._forgotten_at = float("-inf")
        self._loading = Flight(self._load)

    def forget(self) -> None:
        """They have changed: the next token waits for what is asked for from now on."""
        self._forgotten_at = time.monotonic()

    async def close(self) -> None:
        await self._loading.close()

    async def rules(self) -> Rules:
        """Raises Unavailable."""
        if self._rules is None:
            answer = await self._transport.send("GET", ABOUT_PATH)
            if answer.status_code != 200:
                raise Unavailable("no_metadata", f"set issuer: {refusal(answer)}")
            issuer = body_of(answer).get("issuer")
            if not isinstance(issuer, str):
                raise not_ours(answer)
            self._rules = Rules(issuer, self._config.audience)
        return self._rules

    async def find(self, kid: str) -> jwt.PyJWK:
        """Raises BadToken for one that the service does not have, and Unavailable where it cannot be asked."""
        now = time.monotonic()
        while self._loaded_at < max(self._forgotten_at, now - KEEP_SECONDS):  # again, if it began before they changed
            await asyncio.shield(self._loading.start())
        if now >= self._loaded_at + RENEW_SECONDS:
            self._loading.start()  # nobody waits for it
        again = AGAIN_SOON_SECONDS if now < self._forgotten_at + SETTLE_SECONDS else AGAIN_SECONDS
        if kid not in self._keys and (self._loading.going or now >= self._asked_at + again):
            await asyncio.shield(self._loading.start())
        key = self._keys.get(kid)
        if key is None:
            raise BadToken("unknown kid")
        return key

    async def _load(self) -> None:
        began = self._asked_at = time.monotonic()
        answer = await self._transport.send("GET", KEYS_PATH, headers={"Cache-Control": "no-cache"})
        if answer.status_code != 200:
            raise Unavailable("no_keys", str(refusal(answer)))
        try:
            found = [jwt.PyJWK(key) for key in body_of(answer)["keys"] if key.get("alg") == "ES256"]
        except (KeyError, TypeError, AttributeError, jwt.PyJWTError):
            raise not_ours(answer) from None
        self._keys = {key.key_id: key for key in found if key.key_id}
        self._loaded_at = began

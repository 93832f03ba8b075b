"""The service's public keys (RFC 7517): kept, and asked for again at a key id that is not known."""

import asyncio
import time

import jwt

from auth_service_client.access_tokens import BadToken, Rules
from auth_service_client.config import Config
from auth_service_client.errors import Unavailable
from auth_service_client.transport import Transport, refusal

KEYS_PATH = "/.well-known/jwks.json"
ABOUT_PATH = "/.well-known/oauth-authorization-server"
KEEP_SECONDS = 300.0  # as the service says; a key that was retired counts no longer
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
        self._loading: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """They have changed: the next token waits for the new ones."""
        self._loaded_at = self._asked_at = float("-inf")
        self._forgotten_at = time.monotonic()

    async def rules(self) -> Rules:
        """Raises Unavailable."""
        if self._rules is None:
            answer = await self._transport.send("GET", ABOUT_PATH)
            if answer.status_code != 200:
                raise Unavailable("no_metadata", f"set issuer: {refusal(answer)}")
            self._rules = Rules(answer.json()["issuer"], self._config.audience)
        return self._rules

    async def find(self, kid: str) -> jwt.PyJWK:
        """Raises BadToken for one that the service does not have, and Unavailable where it cannot be asked."""
        now = time.monotonic()
        old = now >= self._loaded_at + KEEP_SECONDS
        again = AGAIN_SOON_SECONDS if now < self._forgotten_at + SETTLE_SECONDS else AGAIN_SECONDS
        if old or (kid not in self._keys and now >= self._asked_at + again):
            await asyncio.shield(self._load())
        key = self._keys.get(kid)
        if key is None:
            raise BadToken("unknown kid")
        return key

    def _load(self) -> asyncio.Task[None]:
        if self._loading is None or self._loading.done():
            self._asked_at = time.monotonic()
            self._loading = asyncio.create_task(self._ask())
        return self._loading

    async def _ask(self) -> None:
        began = time.monotonic()
        answer = await self._transport.send("GET", KEYS_PATH, headers={"Cache-Control": "no-cache"})
        if answer.status_code != 200:
            raise Unavailable("no_keys", str(refusal(answer)))
        found = [jwt.PyJWK(key) for key in answer.json()["keys"] if key.get("alg") == "ES256"]
        self._keys = {key.key_id: key for key in found if key.key_id}
        self._loaded_at = began

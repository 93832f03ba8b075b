"""The service's own access token: fetched once however many wait, and renewed before it ends (RFC 6749 section 4.4)."""

import asyncio
import random
import time
from base64 import b64encode

from auth_service_client.config import Config
from auth_service_client.errors import InvalidToken, NotAllowed
from auth_service_client.tasks import Flight
from auth_service_client.transport import Transport, body_of, not_ours, refusal

PATH = "/api/v1/auth/token"
RENEW_AT = 0.75  # of its life, and up to a tenth earlier: a fleet that was started together does not renew together


class ServiceToken:
    """Of one event loop. Times are monotonic seconds."""

    def __init__(self, config: Config, transport: Transport) -> None:
        self._config, self._transport = config, transport
        self._token = ""
        self._renew_at = self._ends_at = float("-inf")
        self._fetching = Flight(self._load)

    async def get(self) -> str:
        """Raises Unavailable, or NotAllowed for a wrong id or secret. While the token is good nobody waits for a
        renewal, and one that fails is tried again with the next call.
        """
        now = time.monotonic()
        if now < self._renew_at:
            return self._token
        fetching = self._fetching.start()
        if now >= self._ends_at:
            await asyncio.shield(fetching)
        return self._token

    async def close(self) -> None:
        await self._fetching.close()

    def forget(self, token: str) -> None:
        """For one that was refused: it is not given out again."""
        if token == self._token:
            self._renew_at = self._ends_at = float("-inf")

    async def _load(self) -> None:
        if self._config.client_id is None or self._config.client_secret is None:
            raise NotAllowed("no_client_id", "this call needs a service account: set client_id and client_secret")
        began = time.monotonic()
        credentials = b64encode(f"{self._config.client_id}:{self._config.client_secret}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}"}
        answer = await self._transport.send("POST", PATH, headers, data={"grant_type": "client_credentials"})
        if answer.status_code != 200:
            error = refusal(answer)
            if isinstance(error, InvalidToken):
                raise NotAllowed(error.code, error.detail, request_id=error.request_id)
            raise error
        body = body_of(answer)
        token, life = body.get("access_token"), body.get("expires_in")
        if not isinstance(token, str) or not isinstance(life, int | float):
            raise not_ours(answer)
        self._token = token
        self._ends_at = began + life
        self._renew_at = began + life * RENEW_AT * random.uniform(0.9, 1)  # noqa: S311  no secret

"""One HTTP call with all its tries, and its refusals as errors.

All that the client asks is safe to ask twice: a check, a token, a key. So it tries again where the connection broke,
or the service asked it to come back, for as long as the call has time.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from auth_service_client.config import Config
from auth_service_client.errors import AuthServiceError, InvalidRequest, InvalidToken, NotAllowed, Unavailable
from auth_service_client.version import USER_AGENT

CONNECT_SECONDS = 1.0
BACKOFF_SECONDS = 0.05
TRY_AGAIN = {429, 502, 503, 504}
LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=20)  # the service keeps 30 s


class Transport:
    """Of one event loop."""

    def __init__(self, config: Config, http: httpx2.AsyncBaseTransport | None = None) -> None:
        self._config = config
        self._http = httpx2.AsyncClient(
            base_url=config.url,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            limits=LIMITS,
            transport=http,
            trust_env=False,  # no proxy of somebody's shell, no .netrc, between two services
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **what: Any
    ) -> httpx2.Response:
        """The answer, whatever its status is but those that say "later"; raises Unavailable."""
        if self._http.is_closed:
            raise Unavailable("closed", "the client is closed")
        until = time.monotonic() + self._config.timeout
        tries = 0
        while True:
            left = until - time.monotonic()
            tries += 1
            trouble: Unavailable
            try:
                async with asyncio.timeout(left):
                    timeout = httpx2.Timeout(left, connect=min(left, CONNECT_SECONDS))
                    answer = await self._http.request(method, path, headers=headers, timeout=timeout, **what)
                if answer.status_code not in TRY_AGAIN:
                    return answer
                trouble = later(answer)
            except (httpx2.RequestError, TimeoutError) as error:
                trouble = Unavailable("unreachable", f"{self._config.url} did not answer ({type(error).__name__})")
                trouble.__cause__ = error
            pause = _pause(tries, trouble.retry_after)
            if tries > self._config.retries or time.monotonic() + pause >= until:
                raise trouble
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str], silence: float) -> AsyncIterator[httpx2.Response]:
        """One try. `silence`: seconds without a byte after which it counts as cut; raises Unavailable."""
        timeout = httpx2.Timeout(silence, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
                yield answer
        except (httpx2.RequestError, TimeoutError) as error:
            raise Unavailable(
                "unreachable", f"the stream of {self._config.url} ended ({type(error).__name__})"
            ) from error


def body_of(answer: httpx2.Response) -> dict[str, Any]:
    """Of a success; raises Unavailable where it is not the service that answered, such as a proxy with a page."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise not_ours(answer)
    return body


def not_ours(answer: httpx2.Response) -> Unavailable:
    request_id = answer.headers.get("x-request-id")
    return Unavailable("bad_answer", f"{answer.url.path} did not answer as the service does", request_id=request_id)


def later(answer: httpx2.Response) -> Unavailable:
    code, detail = _words(answer)
    return Unavailable(code, detail, retry_after=_retry_after(answer), request_id=answer.headers.get("x-request-id"))


def refusal(answer: httpx2.Response) -> AuthServiceError:
    """What the service means by a status that is no success; the caller is the service account."""
    code, detail = _words(answer)
    request_id = answer.headers.get("x-request-id")
    match answer.status_code:
        case 401:
            return InvalidToken(code, detail, request_id=request_id)
        case 403:
            return NotAllowed(code, detail, request_id=request_id)
        case status if status < 500:
            return InvalidRequest(code, detail, request_id=request_id)
        case _:
            return Unavailable(code, detail, request_id=request_id)


def _words(answer: httpx2.Response) -> tuple[str, str]:
    try:
        body = answer.json()
        return str(body["error"]), str(body.get("detail") or body.get("error_description") or "")
    except (ValueError, KeyError, TypeError, AttributeError, httpx2.ResponseNotRead):
        return f"http_{answer.status_code}", f"an answer with status {answer.status_code} that is not the service's"


def _retry_after(answer: httpx2.Response) -> float | None:
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isdigit() else None


def _pause(tries: int, retry_after: float | None) -> float:
    """What the service asks for, and a little more, so that those who were refused together do not come together."""
    if retry_after is not None:
        return retry_after * random.uniform(1, 1.25)  # noqa: S311  no secret
    return random.uniform(0.5, 1) * BACKOFF_SECONDS * 2.0**tries  # noqa: S311

"""One HTTP call with all its tries, and its refusals as errors.

All that the client asks is safe to ask twice: a check, a token, a key. So it tries again where the connection broke,
or the service asked it to come back, for as long as the call has time.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
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
    """Of one event loop. It speaks to httpx2's transport without its client, and so without redirects, cookies, a proxy
    of somebody's shell or .netrc, which two services do not need.
    """

    def __init__(self, config: Config, http: httpx2.AsyncBaseTransport | None = None) -> None:
        self._config = config
        self._http = http or httpx2.AsyncHTTPTransport(limits=LIMITS, trust_env=False)
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        await self._http.aclose()

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **what: Any
    ) -> httpx2.Response:
        """The answer, whatever its status is but those that say "later"; raises Unavailable. `what`: json or data."""
        if self._closed:
            raise Unavailable("closed", "the client is closed")
        until = time.monotonic() + self._config.timeout
        tries = 0
        while True:
            left = until - time.monotonic()
            tries += 1
            trouble: Unavailable
            try:
                async with asyncio.timeout(left):
                    answer = await self._answer(method, path, headers, {"connect": CONNECT_SECONDS}, **what)
                    try:
                        await answer.aread()
                    finally:
                        await answer.aclose()
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
        waits = {"connect": CONNECT_SECONDS, "pool": CONNECT_SECONDS, "write": silence, "read": silence}
        try:
            answer = await self._answer("GET", path, headers, waits)
            try:
                yield answer
            finally:
                await answer.aclose()
        except (httpx2.RequestError, TimeoutError) as error:
            raise Unavailable(
                "unreachable", f"the stream of {self._config.url} ended ({type(error).__name__})"
            ) from error

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str] | None, waits: Mapping[str, float], **what: Any
    ) -> httpx2.Response:
        """Its body has yet to be read, and it has to be closed. `waits`: seconds, by what httpcore2 waits for."""
        request = httpx2.Request(
            method,
            _url(f"{self._config.url}{path}"),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", **(headers or {})},
            extensions={"timeout": waits},
            **what,
        )
        answer = await self._http.handle_async_request(request)
        answer.request = request
        return answer


@lru_cache(maxsize=256)
def _url(text: str) -> httpx2.URL:
    return httpx2.URL(text)


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

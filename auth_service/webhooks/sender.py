"""One POST to a receiver: to the address that was checked, TLS verified, no redirect followed, the answer discarded."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from auth_service.config import Settings
from auth_service.webhooks.addresses import Unreachable, resolve
from auth_service.webhooks.answer import Answer

TIMEOUT_SECONDS = 10.0  # for all of it: a receiver that drips its answer has no more
CONNECTIONS = 8
MOST_READ = 4096
MOST_RETRY_AFTER = 86_400


async def trusted() -> ssl.SSLContext:
    """The usual authorities, or those of SSL_CERT_FILE."""
    return await asyncio.to_thread(httpx.create_ssl_context)  # it reads files


class Sender:
    """For one URL, and a short while: its connections are kept by address, which two names may share."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext, url: str) -> None:
        self._settings = settings
        self._url = httpx.URL(url)
        self._addresses: Sequence[str] = ()
        # The transport alone: a client would keep cookies, follow proxies of the environment, and log the URL.
        self._transport = httpx.AsyncHTTPTransport(verify=tls, limits=httpx.Limits(max_connections=CONNECTIONS))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Never raises for what the receiver or the way to it does."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        status, error, retry_after = None, None, 0
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status, retry_after = await self._post(headers, body)
        except (TimeoutError, httpx.TimeoutException):
            error = "timeout"
        except Unreachable as refused:
            error = refused.code
        except httpx.ConnectError as failed:
            error = "tls_failed" if _of_tls(failed) else "connection_failed"
        except httpx.TransportError:
            error = "connection_failed"
        return Answer(status, error, round((loop.time() - began) * 1000), retry_after)

    async def _post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, int]:
        self._addresses = self._addresses or await resolve(self._settings, str(self._url))
        *others, last = self._addresses
        for address in others:
            try:
                return await self._exchange(address, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # such as IPv6 where there is none
        return await self._exchange(last, headers, body)

    async def _exchange(self, address: str, headers: Mapping[str, str], body: bytes) -> tuple[int, int]:
        host = self._url.raw_host.decode()
        request = httpx.Request(
            "POST",
            self._url.copy_with(host=address),
            headers={
                "Host": self._url.netloc.decode(),
                "User-Agent": "auth-service",
                "Content-Type": "application/cloudevents+json; charset=UTF-8",
                **headers,
            },
            content=body,
            extensions={"sni_hostname": host, "timeout": httpx.Timeout(TIMEOUT_SECONDS).as_dict()},
        )
        response = await self._transport.handle_async_request(request)
        try:
            size = 0
            async for chunk in response.aiter_raw():  # read to its end, a connection can be used again
                size += len(chunk)
                if size > MOST_READ:
                    break
        finally:
            await response.aclose()
        return response.status_code, _seconds(response.headers.get("retry-after", ""))


def _seconds(text: str) -> int:
    return min(int(text), MOST_RETRY_AFTER) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _of_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False

"""slowapi at the edge: coarse limits by client address, in the memory of each process (docs/decisions.md says why)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Depends, Request
from limits import RateLimitItem, parse
from slowapi import Limiter

from auth_service.config import Settings
from auth_service.core.errors import TooManyRequests, may_answer
from auth_service.core.http.client_address import rate_limit_bucket
from auth_service.core.http.limit_counters import SweptCounters

LimitName = Literal["login", "register", "refresh", "token"]


@dataclass(frozen=True)
class EdgeLimits:
    limiter: Limiter
    rates: Mapping[LimitName, RateLimitItem]

    def take(self, name: LimitName, address: str | None, now: float) -> None:
        """Raises TooManyRequests with Retry-After once the address has used up the named rate."""
        rate = self.rates[name]
        # What the library's fixed window does; its way of writing the key costs more than the counting.
        key = f"{name}/{rate_limit_bucket(address)}"
        storage = self.limiter.limiter.storage
        if storage.incr(key, rate.get_expiry()) > rate.amount:
            reset = storage.get_expiry(key)
            raise TooManyRequests(headers={"Retry-After": str(max(1, round(reset - now)))})


def create_edge_limits(settings: Settings) -> EdgeLimits:
    limiter = Limiter(
        key_func=lambda request: rate_limit_bucket(client_of(request)),
        storage_uri=f"{SweptCounters.STORAGE_SCHEME[0]}://",
    )
    rates: dict[LimitName, RateLimitItem] = {
        "login": parse(settings.rate_limit_login),
        "register": parse(settings.rate_limit_register),
        "refresh": parse(settings.rate_limit_refresh),
        "token": parse(settings.rate_limit_token),
    }
    return EdgeLimits(limiter, rates)


def client_of(request: Request) -> str | None:
    """The client's address as the edge found it; None where the peer has none."""
    address: str | None = request.state.client_address
    return address


def limited(name: LimitName) -> Any:
    """A route's dependency that counts the call against the named rate."""
    return Depends(_check(name))


def _check(name: LimitName) -> Callable[[Request], Awaitable[None]]:
    @may_answer(TooManyRequests)
    async def check(request: Request) -> None:
        take(request, name)

    return check


def take(request: Request, name: LimitName) -> None:
    """For a route that says the refusal in words of its own; raises TooManyRequests."""
    limits: EdgeLimits = request.app.state.limits
    limits.take(name, client_of(request), request.app.state.resources.clock().timestamp())

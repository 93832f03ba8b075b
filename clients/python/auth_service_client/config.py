"""What the client has to know of its service: from the arguments, else from the environment."""

import os
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import httpx2

PREFIX = "AUTH_SERVICE_"
WhenStale = Literal["ask", "deny"]


class ConfigError(ValueError):
    """Names the argument and the variable to set."""


@dataclass(frozen=True, slots=True)
class Config:
    """`url`: where the service answers, with its path prefix if it has one. `issuer` and `audience` as it has them set;
    without `issuer` it is asked for it. `timeout`: seconds that one call may take with all its tries.
    """

    url: str
    client_id: str | None
    client_secret: str | None = field(repr=False)
    issuer: str | None
    audience: str
    timeout: float
    retries: int
    local: bool
    staleness: float
    when_stale: WhenStale
    max_subjects: int


def read_config(
    *,
    url: str | None,
    client_id: str | None,
    client_secret: str | None,
    issuer: str | None,
    audience: str | None,
    timeout: float,
    retries: int,
    local: bool,
    staleness: float,
    when_stale: WhenStale,
    max_subjects: int,
) -> Config:
    """Raises ConfigError."""
    url = (url or os.environ.get(f"{PREFIX}URL") or "http://localhost:8000").rstrip("/")
    if not _is_base(url):
        raise ConfigError(f"url ({PREFIX}URL) must be like http://auth:8000")
    client_id = client_id or os.environ.get(f"{PREFIX}CLIENT_ID")
    client_secret = client_secret or os.environ.get(f"{PREFIX}CLIENT_SECRET")
    if (client_id is None) != (client_secret is None):
        raise ConfigError(f"client_id and client_secret ({PREFIX}CLIENT_ID, {PREFIX}CLIENT_SECRET) go together")
    if local and client_id is None:
        raise ConfigError(f"local=True asks as a service: set client_id and client_secret ({PREFIX}CLIENT_ID, …)")
    if when_stale not in {"ask", "deny"}:
        raise ConfigError("when_stale is ask or deny")
    for name, value in (("timeout", timeout), ("staleness", staleness), ("max_subjects", max_subjects)):
        if not isinstance(value, int | float) or not value > 0:
            raise ConfigError(f"{name} must be a number above 0")
    if not isinstance(retries, int) or retries < 0:
        raise ConfigError("retries must be a whole number, 0 or more")
    return Config(
        url=url,
        client_id=client_id,
        client_secret=client_secret,
        issuer=issuer or os.environ.get(f"{PREFIX}ISSUER"),
        audience=audience or os.environ.get(f"{PREFIX}AUDIENCE") or "cinema",
        timeout=timeout,
        retries=retries,
        local=local,
        staleness=staleness,
        when_stale=when_stale,
        max_subjects=max_subjects,
    )


def _is_base(url: str) -> bool:
    """An address below which paths can be put."""
    try:
        parts = urlsplit(url)
        httpx2.URL(url)
        port = parts.port
    except (ValueError, httpx2.InvalidURL):
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and port != 0
        and url.isprintable()
        and not {*url} & {"?", "#", "@", " "}
    )

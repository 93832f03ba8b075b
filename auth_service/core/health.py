"""Liveness without dependencies, readiness that names the sick one, and the public keys; all at the root."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from ipaddress import ip_address
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import AppError, NotFound, is_store_failure
from auth_service.core.http.api_docs import RETRY_AFTER
from auth_service.core.http.limits import client_of
from auth_service.core.priority_slots import going_first
from auth_service.core.schemas import NOT_NULL
from auth_service.core.store_gauges import Measure, Measures, measure_pools
from auth_service.core.stores.redis_client import connect_all, ping_masters
from auth_service.core.stores.trouble import trouble_of
from auth_service.core.tokens.keys import JWKS_MAX_AGE_SECONDS

log = structlog.get_logger(__name__)
Concern = Callable[[Resources], Awaitable[str]]


class Liveness(BaseModel):
    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Besides `status`, each part in words: `ok`, or what is wrong with it; none while draining."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ready", "degraded", "not ready", "draining"]
    postgres: Annotated[str | None, NOT_NULL] = None
    redis: Annotated[str | None, NOT_NULL] = None
    signing_keys: Annotated[str | None, NOT_NULL] = None


class JsonWebKey(BaseModel):
    """RFC 7517, and RFC 7518 section 6.2.1."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    kid: str
    use: Literal["sig"]
    alg: Literal["ES256"]


class JsonWebKeySet(BaseModel):
    keys: list[JsonWebKey]


READY: dict[int | str, dict[str, Any]] = {
    200: {"model": Readiness},
    503: {"model": Readiness, "description": "A part is missing: its words say which.", "headers": RETRY_AFTER},
}


class NoDefaultRole(AppError):
    code, detail = "no_default_role", "DEFAULT_ROLE names a role that does not exist, so nobody can register"


class NotMigrated(AppError):
    code, detail = "not_migrated", "the schema is missing: run auth-service migrate"


def is_draining(request: Request) -> bool:
    """Asked of a request that goes on, too: the event is the server's, the state a copy of when it came (REL-7)."""
    draining: asyncio.Event | None = getattr(request.state, "draining", None)
    return draining is not None and draining.is_set()


def create_router(concerns: Mapping[str, Concern], of_postgres: Sequence[Measure] = ()) -> APIRouter:
    """`concerns`: parts whose trouble degrades the service and stops nothing; each answers "ok" or in words.
    `of_postgres`: what is measured there for /metrics.
    """
    router = APIRouter(tags=["operations"])
    measures = Measures(of_postgres)
    connected = False

    @router.get("/health/live", response_model=Liveness)
    async def get_liveness() -> Liveness:
        """200 while the process answers; it asks nobody else."""
        return Liveness()

    @router.get("/metrics", include_in_schema=False)
    async def metrics(request: Request, resources: Res) -> Response:
        """In the format that the scraper asks for, for METRICS_CLIENTS only: to others it does not exist (ADM-2)."""
        address = client_of(request)
        if address is None or not any(
            ip_address(address) in network for network in resources.settings.metrics_networks
        ):
            raise NotFound("There is nothing at this path.")
        await measure_pools(resources)
        measured = await measures.take(resources)
        wanted = (", ".join(request.headers.getlist(name)) for name in ("accept", "accept-encoding"))
        shown = await asyncio.to_thread(resources.metrics.render, measured, *wanted)
        return Response(shown.body, headers=shown.headers | {"Vary": "Accept, Accept-Encoding"})

    @router.get("/health/ready", responses=READY)
    async def get_readiness(request: Request, resources: Res) -> Response:
        """200 and "ready", or "degraded" where something wants an operator; else 503 with the part that is wrong.

        "draining", also 503: it is being stopped, and requests that come all the same are still answered (REL-7).
        """
        if is_draining(request):
            return JSONResponse({"status": "draining"}, 503, {"Retry-After": "1"})
        nonlocal connected
        found = await readiness(resources, concerns)
        if found["status"] == "not ready":
            return JSONResponse(found, 503, {"Retry-After": "1"})
        if not connected:  # the first flood shall not begin with as many handshakes
            await asyncio.gather(_state(_connect_postgres(resources)), _state(_connect_redis(resources)))
            connected = True
        return JSONResponse(found)

    @router.get("/.well-known/jwks.json", responses={200: {"model": JsonWebKeySet}})
    async def get_jwks(resources: Res) -> Response:
        """RFC 7517: the keys that verify access tokens."""
        cache = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE_SECONDS}"}
        return JSONResponse(resources.keys.jwks(), headers=cache)

    return router


async def readiness(resources: Resources, concerns: Mapping[str, Concern]) -> dict[str, str]:
    """As /health/ready answers; `concerns` are asked only where nothing else is wrong."""
    with going_first():
        postgres, redis = await asyncio.gather(_state(_postgres(resources)), _state(_redis(resources)))
    keys = "ok" if resources.keys.loaded else "not loaded yet"
    parts = {"postgres": postgres, "redis": redis, "signing_keys": keys}
    if any(state != "ok" for state in parts.values()):
        return {"status": "not ready", **parts}
    concerned = {name: await _state(probe(resources)) for name, probe in concerns.items()}
    well = all(state == "ok" for state in concerned.values())
    return {"status": "ready" if well else "degraded", **parts, **concerned}


async def _postgres(resources: Resources) -> str:
    if await resources.hot.fetchval("SELECT to_regclass('store_generation') IS NULL"):
        raise NotMigrated
    default_role = resources.settings.default_role
    if not await resources.hot.fetchval("SELECT EXISTS (SELECT FROM roles WHERE name = $1)", default_role):
        raise NoDefaultRole
    return "ok"


async def _redis(resources: Resources) -> str:
    await ping_masters(resources.redis)
    return "ok"


async def _connect_postgres(resources: Resources) -> str:
    await resources.hot.connect_all()
    return "ok"


async def _connect_redis(resources: Resources) -> str:
    await connect_all(resources.redis)
    return "ok"


async def _state(probe: Awaitable[str]) -> str:
    try:
        return await probe
    except AppError as error:
        return error.detail
    except Exception as error:
        if not is_store_failure(error):
            raise
        trouble = trouble_of(error)
        if trouble is None:
            log.warning("not_ready", kind=type(error).__name__)
            return f"cannot be reached ({type(error).__name__})"
        log.warning("not_ready", kind=type(error).__name__, **asdict(trouble))
        return f"{trouble.setting}: {trouble.problem}"

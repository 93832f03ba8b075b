"""Liveness without dependencies, readiness that names the sick one, and the public keys; all at the root."""

import asyncio
from collections.abc import Awaitable

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import AppError, is_store_failure
from auth_service.core.keys import JWKS_MAX_AGE_SECONDS

log = structlog.get_logger(__name__)
router = APIRouter(tags=["operations"])


class NoDefaultRole(AppError):
    code, detail = "no_default_role", "DEFAULT_ROLE names a role that does not exist, so nobody can register"


class NotMigrated(AppError):
    code, detail = "not_migrated", "the schema is missing: run auth-service migrate"


@router.get("/health/live")
async def live() -> dict[str, str]:
    """200 while the process answers; it asks nobody else."""
    return {"status": "alive"}


@router.get("/health/ready")
async def ready(resources: Res) -> Response:
    """200 with every part "ok", else 503 with what is wrong with which part."""
    postgres, redis = await asyncio.gather(_state(_postgres(resources)), _state(_redis(resources)))
    keys = "ok" if resources.keys.loaded else "not loaded yet"
    parts = {"postgres": postgres, "redis": redis, "signing_keys": keys}
    well = all(state == "ok" for state in parts.values())
    body = {"status": "ready" if well else "not ready", **parts}
    return JSONResponse(body, 200 if well else 503, None if well else {"Retry-After": "1"})


@router.get("/.well-known/jwks.json")
async def jwks(resources: Res) -> Response:
    """RFC 7517: the keys that verify access tokens."""
    return JSONResponse(resources.keys.jwks(), headers={"Cache-Control": f"public, max-age={JWKS_MAX_AGE_SECONDS}"})


async def _postgres(resources: Resources) -> None:
    if await resources.hot.fetchval("SELECT to_regclass('store_generation') IS NULL"):
        raise NotMigrated
    default_role = resources.settings.default_role
    if not await resources.hot.fetchval("SELECT EXISTS (SELECT FROM roles WHERE name = $1)", default_role):
        raise NoDefaultRole


async def _redis(resources: Resources) -> None:
    await resources.redis.get("auth:generation")


async def _state(probe: Awaitable[None]) -> str:
    try:
        await probe
    except AppError as error:
        return error.detail
    except Exception as error:
        if not is_store_failure(error):
            raise
        log.warning("not_ready", kind=type(error).__name__)
        return f"cannot be reached ({type(error).__name__})"
    return "ok"

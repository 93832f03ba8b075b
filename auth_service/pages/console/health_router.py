"""Whether all is well: the parts, the versions, the keys, and what failed beside the requests."""

import platform
from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from auth_service import __version__
from auth_service.core.connections import Res, Resources
from auth_service.core.errors import is_store_failure
from auth_service.core.health import readiness
from auth_service.core.stores.redis_client import info_of_masters
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import screen
from auth_service.pages.route import page_router
from auth_service.sessions.partition_state import history_state

router = page_router()
STATES = {"ready": N_("ready"), "degraded": N_("works, but wants an operator"), "not ready": N_("not ready")}
PARTS = {
    "postgres": N_("PostgreSQL"),
    "redis": N_("Redis"),
    "signing_keys": N_("Signing keys"),
    "login_history": N_("Sign-in history"),
}
KEY_STATES = {
    "signing": N_("signs"),
    "coming": N_("to come"),
    "verifying": N_("only verifies"),
    "retired": N_("retired"),
}


@router.get("/console/health")
async def health_page(request: Request, me: Annotated[Admin, Staff("audit:read")], resources: Res) -> Response:
    found = await readiness(resources, {"login_history": history_state})
    return screen(
        request,
        "console/health.html",
        me,
        state=found.pop("status"),
        parts=found,
        versions=await _versions(resources),
        keys=await resources.keys.overview(),
        failed=sorted((name, times) for name, times in resources.metrics.failed_jobs().items() if times),
        states=STATES,
        part_names=PARTS,
        key_states=KEY_STATES,
    )


async def _versions(resources: Resources) -> list[tuple[str, str]]:
    """Of what answers."""
    found = [("auth-service", __version__), ("Python", platform.python_version())]
    try:
        found.append(("PostgreSQL", await resources.hot.fetchval("SHOW server_version")))
        servers = (await info_of_masters(resources.redis, "server")).values()
        found += sorted({("Redis", str(server["redis_version"])) for server in servers})
    except Exception as error:
        if not is_store_failure(error):
            raise
    return found

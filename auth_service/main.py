"""create_app(settings): lifespan, middleware, routers, error handlers. Nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.telemetry import TelemetryConfig

from auth_service import __version__
from auth_service.audit.service import publish_head
from auth_service.auth.accounts_router import router as accounts_router
from auth_service.auth.admin_router import router as admin_router
from auth_service.auth.audit_router import router as audit_router
from auth_service.auth.events_router import router as events_router
from auth_service.auth.export_router import router as export_router
from auth_service.auth.forward_auth_router import router as forward_auth_router
from auth_service.auth.router import router as auth_router
from auth_service.config import Settings, load_settings
from auth_service.core import health
from auth_service.core.api_docs import DESCRIPTION
from auth_service.core.clock import Clock, utc_now
from auth_service.core.connections import Resources, open_resources
from auth_service.core.denylist import CATCH_UP_SECONDS, LEARN_SECONDS
from auth_service.core.edge import Edge
from auth_service.core.errors import install_error_handlers
from auth_service.core.keys import RELOAD_SECONDS
from auth_service.core.limits import create_edge_limits
from auth_service.core.log import configure_logging
from auth_service.core.measures import POOLS_SECONDS, measure_pools
from auth_service.core.metrics import Metrics, forget_worker
from auth_service.core.openapi import install_document
from auth_service.core.redis_client import keep_connected
from auth_service.core.upkeep import Job, running
from auth_service.events.backlog import measure_backlog as measure_events
from auth_service.events.relay import RESTART_SECONDS, delete_old_events, run_relay
from auth_service.mail.backlog import measure_backlog as measure_mails
from auth_service.mail.delivery import DELIVERY_SECONDS, delete_old, deliver
from auth_service.mail.dev_router import router as dev_mails_router
from auth_service.mfa.repository import delete_expired
from auth_service.mfa.router import router as mfa_router
from auth_service.mfa.service import BUDGET_WINDOW
from auth_service.pages.dev_mails_router import router as dev_mails_page_router
from auth_service.pages.docs_router import router as docs_router
from auth_service.pages.home_router import router as home_router
from auth_service.pages.links_router import router as links_router
from auth_service.permissions.router import router as permissions_router
from auth_service.roles.router import router as roles_router
from auth_service.service_accounts.router import router as services_router
from auth_service.sessions.devices import KEEP_UNSEEN, delete_unseen
from auth_service.sessions.history_router import router as history_router
from auth_service.sessions.partition_upkeep import keep_up
from auth_service.sessions.partitions import history_state, measure_history
from auth_service.sessions.repository import delete_ended
from auth_service.sessions.router import router as sessions_router
from auth_service.sessions.user_agent import warm_up
from auth_service.users import attempts, email, look_alikes
from auth_service.users.mail_router import router as mail_router
from auth_service.users.router import router as users_router
from auth_service.webhooks.delivery import LOOK_SECONDS as WEBHOOK_LOOK_SECONDS
from auth_service.webhooks.delivery import log_misses, run_webhooks
from auth_service.webhooks.router import router as webhooks_router

if TYPE_CHECKING:
    from auth_service.core.traces import Tracing

log = structlog.get_logger(__name__)
# FastAPI's own would export paths, queries and the words of exceptions, as soon as a variable tells it to (AUD-2).
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
API = "/api/v1"
TIDY_SECONDS = 3600
CONNECT_SECONDS = 1
KEEP_ENDED_SESSIONS = timedelta(days=30)
MEASURES = (measure_history, measure_mails, measure_events)


def create_app(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """The whole service; its stores are opened when the server starts it, not here."""

    metrics = Metrics()
    tracing = _tracing(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(warm_up)
        async with (
            open_resources(settings, clock, metrics) as resources,
            tracing.exporting(resources.redis) if tracing else nullcontext(),
            running(_jobs(resources), metrics),
        ):
            app.state.resources = resources
            if not settings.has_mail:
                log.warning("mail_not_configured", remedy="set SMTP_URL, or nobody can reset a forgotten password")
            yield
        forget_worker()

    app = FastAPI(
        title="Cinema auth service",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # pages.docs_router has them
        redoc_url=None,
        openapi_url=None if settings.production else "/auth/openapi.json",
        redirect_slashes=False,
        telemetry={**NO_TELEMETRY, **tracing.of_requests} if tracing else NO_TELEMETRY,
    )
    app.state.limits = create_edge_limits(settings)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=sorted(settings.origins),
        allow_credentials=True,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-CSRF-Token", "X-Token-Transport", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After"],
    )
    trace_id = tracing.trace_id if tracing else None
    app.add_middleware(Edge, settings=settings, metrics=metrics, trace_id=trace_id)  # the outermost
    install_error_handlers(app)
    app.router.routes.extend(_api().routes)
    app.include_router(health.create_router({"login_history": history_state}, MEASURES))
    app.include_router(home_router)
    if not settings.account_url:
        app.include_router(links_router)
    if not settings.production:
        app.include_router(docs_router)
    if settings.prints_mails:
        app.include_router(dev_mails_router)
        app.include_router(dev_mails_page_router)
    install_document(app, API)
    return app


@cache
def _api() -> APIRouter:
    """The same for every app: with its first request FastAPI takes a fifth of a second to build what they need."""
    api = APIRouter()
    # Routes are tried in this order, at 2 µs each: what other services ask with every click comes first.
    for router in (
        permissions_router,
        forward_auth_router,
        auth_router,
        sessions_router,
        history_router,
        users_router,
        export_router,
        mail_router,
        mfa_router,
        roles_router,
        services_router,
        accounts_router,
        audit_router,
        admin_router,
        events_router,
        webhooks_router,
    ):
        api.include_router(router, prefix=API)
    return api


def create_app_from_environment() -> FastAPI:
    """What uvicorn's workers call; raises ConfigError for a bad setting."""
    settings = load_settings()
    configure_logging(settings)
    return create_app(settings)


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    from auth_service.core.traces import Tracing  # an extra, and half a second

    return Tracing(settings.otel_exporter_otlp_endpoint)


def _jobs(resources: Resources) -> list[Job]:
    async def tidy() -> None:
        now = resources.clock()
        lock = timedelta(seconds=resources.settings.login_lock_seconds)
        longest = max(lock, BUDGET_WINDOW, attempts.ADDRESS_WINDOW)
        await attempts.forget_old(resources, now - longest)
        async with resources.db.begin() as session:
            await delete_ended(session, now - KEEP_ENDED_SESSIONS)
            await delete_expired(session, now)
            await delete_unseen(session, now - KEEP_UNSEEN)
            await email.delete_expired(session, now)
        await delete_old(resources)
        await log_misses(resources)
        await delete_old_events(resources)

    async def fill_looks() -> None:
        await look_alikes.fill(resources)

    jobs = [
        Job("redis_connections", partial(keep_connected, resources.redis), CONNECT_SECONDS, first=True),
        Job("postgres_connections", resources.hot.connect_all, CONNECT_SECONDS, first=True),
        Job("signing_keys", resources.keys.load, RELOAD_SECONDS, first=True),
        Job("denials", resources.denylist.catch_up, CATCH_UP_SECONDS, first=True),
        Job("denials_of_others", resources.denylist.learn, LEARN_SECONDS),
        Job("mails", lambda: deliver(resources), DELIVERY_SECONDS),
        Job("tidy", tidy, TIDY_SECONDS),
        Job("audit_head", partial(publish_head, resources), TIDY_SECONDS),
        Job("login_history", partial(keep_up, resources), TIDY_SECONDS),
        Job("login_looks", fill_looks, look_alikes.FILL_SECONDS),
        Job("pools", partial(measure_pools, resources), POOLS_SECONDS),
    ]
    return [*jobs, *relay_jobs(resources)] if resources.settings.relay_in_workers else jobs


def relay_jobs(resources: Resources) -> list[Job]:
    """What brings events to their consumers: the workers', or those of `auth-service relay`."""
    jobs = [Job("webhooks", partial(run_webhooks, resources), WEBHOOK_LOOK_SECONDS, endless=True)]
    if resources.settings.kafka_bootstrap is not None:
        jobs.append(Job("relay", partial(run_relay, resources), RESTART_SECONDS, endless=True))
    return jobs

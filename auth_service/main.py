"""create_app(settings): lifespan, middleware, routers, error handlers. Nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_service import __version__
from auth_service.admin.accounts_router import router as accounts_router
from auth_service.admin.audit_router import router as audit_router
from auth_service.admin.events_router import router as events_router
from auth_service.admin.grant_jobs_router import router as grant_jobs_router
from auth_service.admin.grants_router import router as grants_router
from auth_service.admin.holders_router import router as holders_router
from auth_service.admin.support_router import router as admin_router
from auth_service.auth.fast_login import LOGIN
from auth_service.auth.fast_refresh import REFRESH
from auth_service.auth.forward_auth import verify
from auth_service.auth.forward_auth_router import router as forward_auth_router
from auth_service.auth.router import router as auth_router
from auth_service.changes.router import router as changes_router
from auth_service.config import Settings, load_settings
from auth_service.core import health
from auth_service.core.clock import Clock, utc_now
from auth_service.core.connections import open_resources
from auth_service.core.http.api_docs import DESCRIPTION, operation_id
from auth_service.core.http.edge import Edge
from auth_service.core.http.error_answers import install_error_handlers
from auth_service.core.http.fast_routes import FastRoutes
from auth_service.core.http.limits import create_edge_limits
from auth_service.core.http.openapi import install_document
from auth_service.core.http.path_prefix import MissingSlash, PathPrefix
from auth_service.core.http.route_index import RouteIndex
from auth_service.core.telemetry.log import configure_logging
from auth_service.core.telemetry.metrics import Metrics, forget_worker
from auth_service.core.upkeep import running
from auth_service.events.backlog import measure_backlog as measure_events
from auth_service.jobs import jobs_of
from auth_service.mail.backlog import measure_backlog as measure_mails
from auth_service.mail.dev_router import router as dev_mails_router
from auth_service.mfa.router import router as mfa_router
from auth_service.pages.account.routers import ROUTES as ACCOUNT_PAGES
from auth_service.pages.console.routers import ROUTES as CONSOLE_PAGES
from auth_service.pages.dev_mails_router import router as dev_mails_page_router
from auth_service.pages.docs_router import router as docs_router
from auth_service.pages.home_router import router as home_router
from auth_service.permissions.cache import CheckCache, counting
from auth_service.permissions.fastpath import FastPath
from auth_service.permissions.hits import Hits
from auth_service.permissions.router import router as permissions_router
from auth_service.privacy.router import router as export_router
from auth_service.roles.router import router as roles_router
from auth_service.service_accounts.router import router as services_router
from auth_service.sessions.history_router import router as history_router
from auth_service.sessions.partition_state import history_state, measure_history
from auth_service.sessions.router import router as sessions_router
from auth_service.sessions.user_agent import warm_up
from auth_service.standards.authzen.fast_evaluation import EVALUATION
from auth_service.standards.authzen.router import router as authzen_router
from auth_service.standards.oauth.router import create_metadata_router
from auth_service.standards.oauth.router import router as oauth_router
from auth_service.users.fast_account import OWN_ACCOUNT
from auth_service.users.mail_router import router as mail_router
from auth_service.users.router import router as users_router
from auth_service.webhooks.router import router as webhooks_router

if TYPE_CHECKING:
    from auth_service.core.telemetry.traces import Tracing

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
MEASURES = (measure_history, measure_mails, measure_events)


class Service(FastAPI):
    """Checks that are kept in memory do not come to FastAPI, whose outer layers alone cost a fifth of them."""

    _outer: ASGIApp | None = None
    _edge_first = False

    def answers_from_memory(self, settings: Settings) -> None:
        self._outer = Hits(super().__call__, settings, self.state)

    def stands_below(self, prefix: str) -> None:
        self._outer = PathPrefix(self._outer or super().__call__, prefix)

    def has_its_edge_first(self) -> None:
        """Without what FastAPI puts around it: the edge limits the body and answers every error by itself."""
        self._edge_first = True

    def build_middleware_stack(self) -> ASGIApp:
        stack: Any = super().build_middleware_stack()
        while self._edge_first and not isinstance(stack, Edge):
            stack = stack.app
        whole: ASGIApp = stack
        return whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._outer or super().__call__)(scope, receive, send)


def create_app(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """The whole service; its stores are opened when the server starts it, not here."""

    metrics = Metrics()
    tracing = _tracing(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        await asyncio.to_thread(warm_up)
        async with (
            open_resources(settings, clock, metrics) as resources,
            tracing.exporting(resources.redis) if tracing else nullcontext(),
            counting(CheckCache(resources), metrics) as app.state.checks,
            running(jobs_of(resources), metrics),
        ):
            app.state.resources = resources
            if not settings.has_mail:
                log.warning("mail_not_configured", remedy="set SMTP_URL, or nobody can reset a forgotten password")
            yield {"draining": asyncio.Event()}
        forget_worker()

    app = Service(
        title="Cinema auth service",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # pages.docs_router has them
        redoc_url=None,
        openapi_url=None if settings.production else "/auth/openapi.json",
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        telemetry={**NO_TELEMETRY, **tracing.of_requests} if tracing else NO_TELEMETRY,
    )
    app.state.limits = create_edge_limits(settings)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=sorted(settings.origins),
        allow_credentials=True,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "X-CSRF-Token",
            "X-Token-Transport",
            "X-Request-Id",
            "If-Match",
        ],
        expose_headers=["X-Request-Id", "Retry-After", "ETag"],
    )
    if tracing is None:  # which begins a span in FastAPI's own layers
        app.add_middleware(FastRoutes, routes={API: (LOGIN, REFRESH, OWN_ACCOUNT), "": (EVALUATION,)})
        app.add_middleware(FastPath, forward_auth=verify)
        app.has_its_edge_first()
    if settings.path_prefix:
        app.add_middleware(MissingSlash, prefix=settings.path_prefix)
    trace_id = tracing.trace_id if tracing else None
    app.add_middleware(Edge, settings=settings, metrics=metrics, trace_id=trace_id)
    if tracing is None and settings.check_cache_bytes:
        app.answers_from_memory(settings)
    if settings.path_prefix:
        app.stands_below(settings.path_prefix)
    install_error_handlers(app)
    app.router.routes.extend(_api().routes)
    app.include_router(health.create_router({"login_history": history_state}, MEASURES))
    app.include_router(create_metadata_router(settings))
    app.include_router(home_router)
    if not settings.account_url:
        app.router.routes.extend(ACCOUNT_PAGES)
        app.router.routes.extend(CONSOLE_PAGES)
    if not settings.production:
        app.include_router(docs_router)
    if settings.prints_mails:
        app.include_router(dev_mails_router)
        app.include_router(dev_mails_page_router)
    install_document(app, API, served_at=settings.path_prefix)
    if tracing is None:  # of which the router tells FastAPI's telemetry which route it is
        app.router.middleware_stack = RouteIndex(app.router.middleware_stack, app.routes)
    return app


@cache
def _api() -> APIRouter:
    """The same for every app: with its first request FastAPI takes a fifth of a second to build what they need."""
    api = APIRouter(generate_unique_id_function=operation_id)
    # The order of the documentation; with tracing also that in which they are tried, so what is asked most comes first.
    for router in (
        permissions_router,
        changes_router,
        forward_auth_router,
        auth_router,
        oauth_router,
        sessions_router,
        history_router,
        users_router,
        export_router,
        mail_router,
        mfa_router,
        roles_router,
        grant_jobs_router,
        services_router,
        accounts_router,
        holders_router,
        grants_router,
        audit_router,
        admin_router,
        events_router,
        webhooks_router,
    ):
        api.include_router(router, prefix=API)
    api.include_router(authzen_router)  # whose paths are those of its specification
    return api


def create_app_from_environment() -> FastAPI:
    """What uvicorn's workers call; raises ConfigError for a bad setting."""
    settings = load_settings()
    configure_logging(settings)
    return create_app(settings)


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    from auth_service.core.telemetry.traces import Tracing  # an extra, and half a second

    return Tracing(settings.otel_exporter_otlp_endpoint)

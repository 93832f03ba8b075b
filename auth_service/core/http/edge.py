"""The outermost layer, plain ASGI: request id, Host, size and shape of the body, headers of every answer."""

import re
import secrets
import time
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_service.config import Settings
from auth_service.core.errors import AppError, BadRequest, Unavailable, is_store_failure, render
from auth_service.core.http.authzen_rules import is_authzen, kept_request_id, loggable_request_id
from auth_service.core.http.call import Call, begin_call, end_call
from auth_service.core.http.client_address import client_address
from auth_service.core.http.media_types import media_type_of
from auth_service.core.http.oauth_paths import OAUTH_PATHS
from auth_service.core.http.strict_json import NotStrictJson, check_strict_json
from auth_service.core.telemetry.log import loggable_path
from auth_service.core.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

BODY_LIMIT = 64 * 1024
BODY_LIMITS = {
    "/api/v1/auth/": 16 * 1024,
    "/api/v1/permissions/check/batch": 256 * 1024,  # a thousand checks
    "/access/v1/evaluations": 256 * 1024,
    "/account": 16 * 1024,
    "/api/v1/grants/jobs": 512 * 1024,  # ten thousand ids, or e-mail addresses of fifty letters
    "/console/grants/jobs": 512 * 1024,
}
HEADER_LIMIT = 16 * 1024
PATHS_BY_ADDRESS = frozenset({"/metrics", "/health/live", "/health/ready"})  # what machines ask of one replica
STREAM_PATHS = frozenset({"/api/v1/changes"})  # answers that go on: what they take is how long they lasted
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# They change nothing that a decision rests on, and so wait for no other worker. Where one ends something all the same,
# as a login does that is a session too many, the denylist notes it.
QUIET_PATHS = frozenset(
    f"/api/v1/{path}"
    for path in (
        "permissions/check",
        "permissions/check/batch",
        "auth/introspect",
        "auth/login",
        "auth/login/mfa",
        "auth/password/forgot",
        "auth/refresh",
        "auth/register",
        "auth/token",
    )
) | {"/account/sign-in", "/account/sign-in/code", "/account/register", "/forgot-password"}
TELLING = frozenset({403, 404, 409})  # refusals that may say that a try before, whose answer was lost, has worked
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{8,64}")

ANSWER_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
NO_STORE = (b"cache-control", b"no-store")
HSTS = (b"strict-transport-security", b"max-age=31536000")


class HostNotAllowed(BadRequest):
    code, detail = "host_not_allowed", "This Host is not one of ALLOWED_HOSTS."


class BodyTooLarge(AppError):
    status, code, detail = 413, "body_too_large", "The body is larger than this route takes."


class HeadersTooLarge(AppError):
    status, code, detail = 431, "headers_too_large", "The address and the headers are larger than 16 KiB."


class InvalidJson(BadRequest):
    code = "invalid_json"


class InvalidPath(BadRequest):
    code, detail = "invalid_path", "The path or the query has characters that are not allowed."


class InternalError(AppError):
    status, code, detail = 500, "internal_error", "Something went wrong; quote the request id."


class Disconnected(Exception):
    """The client went away before its body was whole; there is nobody to answer."""


class Edge:
    """Refuses what no route should see, before any route sees it (EDG-3, EDG-4, EDG-5)."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, trace_id: Callable[[], str | None] | None = None
    ) -> None:
        """`trace_id` tells the trace that is being recorded; without it the caller's own is taken."""
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._trace_id = trace_id
        self._hosts = _names(settings)
        self._is_listed = host_check(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(reversed(scope["headers"]))
        request_id, logged_id = _request_ids(scope["path"], headers.get(b"x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        peer = scope["client"][0] if scope.get("client") else ""
        state["client_address"] = client_address(peer, scope["headers"], self._settings.proxy_networks)
        structlog.contextvars.clear_contextvars()
        trace_id = self._trace_id() if self._trace_id else _trace_id(headers.get(b"traceparent"))
        structlog.contextvars.bind_contextvars(request_id=logged_id, **({"trace_id": trace_id} if trace_id else {}))
        call = Call(logged_id, state["client_address"])
        begun = begin_call(call)
        started = time.perf_counter()
        status, begun_after = 0, 0.0

        async def send_with_headers(message: Message) -> None:
            nonlocal status, begun_after
            if message["type"] == "http.response.start":
                status, begun_after = message["status"], time.perf_counter() - started
                if not call.trial and (
                    call.changed or (may_change and (status < 400 or status in TELLING or call.met_ended))
                ):
                    await scope["app"].state.resources.coherence.settled()
                _add_headers(message, request_id, self._settings.production)
            await send(message)

        method = scope["method"]
        may_change = method not in SAFE_METHODS and not _is_quiet(scope["path"])
        if method == "HEAD":
            send, scope = _without_body(send), {**scope, "method": "GET"}  # the server keeps the scope that it gave
        try:
            self._check_head(scope, headers)
            receive = await _checked_body(scope["path"], headers, receive)
            await self._app(scope, receive, send_with_headers)
        except Disconnected:
            return
        except AppError as error:
            await _send_error(scope, send_with_headers, request_id, error)
        except Exception as error:
            if status:
                raise  # half an answer is out; uvicorn cuts the connection
            if is_store_failure(error):
                await _send_error(scope, send_with_headers, request_id, Unavailable())
            else:
                log.exception("unhandled_error", path=loggable_path(scope["path"]))
                await _send_error(scope, send_with_headers, request_id, InternalError())
        finally:
            end_call(begun)
            seconds = time.perf_counter() - started
            counted = begun_after if scope["path"] in STREAM_PATHS else seconds
            self._metrics.count_request(method, _route_of(scope), status, counted)
            log.info(
                "request",
                method=method,
                path=loggable_path(scope["path"]),
                status=status,
                ms=round(seconds * 1000, 1),
            )

    def _check_head(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        size, hosts = len(scope["path"]) + len(scope["query_string"]), 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            hosts += name == b"host"
        if size > HEADER_LIMIT:
            raise HeadersTooLarge
        host = headers.get(b"host", b"")
        by_address = scope["path"] in PATHS_BY_ADDRESS
        if hosts != 1 or not (self._is_listed(host) or host_is_allowed(self._hosts, host, by_address=by_address)):
            raise HostNotAllowed
        path: str = scope["path"]
        if not (path.isascii() and path.isprintable()) and _has_bad_text(path.encode()):
            raise InvalidPath
        if scope["query_string"] and _has_bad_text(unquote_to_bytes(scope["query_string"])):
            raise InvalidPath


def host_check(settings: Settings) -> Callable[[bytes], bool]:
    """Whether a Host header names one of ALLOWED_HOSTS; it remembers, since nearly everybody writes the same."""
    return lru_cache(maxsize=64)(partial(host_is_allowed, _names(settings)))


def _names(settings: Settings) -> frozenset[str]:
    return frozenset(host.lower() for host in settings.allowed_hosts)


def host_is_allowed(allowed: Collection[str], header: bytes, *, by_address: bool = False) -> bool:
    """`allowed`: names in lower case, or *. Prometheus and probes find replicas `by_address`. No page of another site
    can ask so: it has a name (DNS rebinding).
    """
    host = header.decode("latin-1").lower()
    name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    port = host[len(name) :]
    well_formed = port == "" or re.fullmatch(r":\d{1,5}", port) is not None
    return well_formed and (name in allowed or "*" in allowed or (by_address and _is_address(name)))


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _route_of(scope: Scope) -> str:
    """The route's template: an address of its own for each user would be a label without bound."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _is_quiet(path: str) -> bool:
    return path in QUIET_PATHS or is_authzen(path)


def _request_ids(path: str, given: bytes | None) -> tuple[str, str]:
    """As the client gets it back, and as it is logged."""
    if is_authzen(path) and (kept := kept_request_id(given)) is not None:
        return kept, loggable_request_id(kept)
    request_id = _request_id(given)
    return request_id, request_id


def _request_id(given: bytes | None) -> str:
    """The caller's own id where it is harmless in a log line, else a new one."""
    return given.decode() if given and REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _trace_id(given: bytes | None) -> str | None:
    """The caller's trace, W3C Trace Context section 3.2; None for what the standard wants ignored."""
    match = _TRACEPARENT.fullmatch((given or b"").decode("latin-1"))
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    return match["trace"]


def _has_bad_text(raw: bytes) -> bool:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return True
    return any(ord(char) < 0x20 or ord(char) == 0x7F for char in text)


def _limit_for(path: str) -> int:
    for prefix, limit in BODY_LIMITS.items():
        if path.startswith(prefix):
            return limit
    return BODY_LIMIT


async def _checked_body(path: str, headers: dict[bytes, bytes], receive: Receive) -> Receive:
    limit = _limit_for(path)
    declared = headers.get(b"content-length")
    if declared is not None and (not declared.isdigit() or len(declared) > 12 or int(declared) > limit):
        raise BodyTooLarge
    if declared in {None, b"0"} and b"transfer-encoding" not in headers:
        return receive
    body = await _read(receive, limit)
    if body and media_type_of(path, headers) == b"application/json":
        try:
            check_strict_json(body, controls=is_authzen(path))
        except NotStrictJson as error:
            raise InvalidJson(str(error)) from None
    return replayed({"type": "http.request", "body": body, "more_body": False}, receive)


async def _read(receive: Receive, limit: int) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def replayed(first: Message, receive: Receive) -> Receive:
    """A `receive` that gives what was read of the request once more, and then what comes."""
    pending = True

    async def replay() -> Message:
        nonlocal pending
        if pending:
            pending = False
            return first
        return await receive()

    return replay


def _without_body(send: Send) -> Send:
    """HEAD is a GET whose body stays here (RFC 9110 section 9.3.2): the same headers, Content-Length too. One that
    would go on ends as it begins: to its route the client has gone.
    """
    ended = False

    async def send_head(message: Message) -> None:
        nonlocal ended
        if message["type"] != "http.response.body":
            await send(message)
        elif not ended:
            ended = True
            await send({"type": "http.response.body", "body": b""})

    return send_head


def _add_headers(message: Message, request_id: str, production: bool) -> None:
    headers = list(message.get("headers", []))
    given = {name for name, _ in headers}
    # Pages with forms say another Referrer-Policy: with this one their Origin would be null.
    headers += (
        ANSWER_HEADERS
        if b"referrer-policy" not in given
        else [header for header in ANSWER_HEADERS if header[0] not in given]
    )
    headers.append((b"x-request-id", request_id.encode("latin-1")))
    if b"cache-control" not in given:
        headers.append(NO_STORE)
    if production:
        headers.append(HSTS)
    message["headers"] = headers


async def _send_error(scope: Scope, send: Send, request_id: str, error: AppError) -> None:
    body = orjson.dumps(render(request_id, error, oauth=scope["path"] in OAUTH_PATHS))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    if error.status in {413, 431}:
        headers.append((b"connection", b"close"))  # the rest of the body is not worth reading
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Liveness, readiness, starting without stores, and what aborted calls leave behind."""

import asyncio
import json
import random
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from auth_service.config import Settings
from auth_service.main import create_app
from tests.conftest import Fresh, Servers, running_app, test_settings
from tests.support.api import PASSWORD, V1, error_of, unique
from tests.support.service_process import environment_of, free_port
from tests.support.tcp_gate import gate_to, gated

PATIENCE_SECONDS = 60


@asynccontextmanager
async def _started(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The app without waiting for its keys."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        yield http


async def _until(http: httpx.AsyncClient, path: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(httpx.TransportError):  # not listening yet
                if (await http.get(path)).status_code == 200:
                    return
            await asyncio.sleep(0.05)


def _sick(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    body = answer.json()
    assert body.pop("status") == "not ready"
    return {part for part, state in body.items() if state != "ok"}


async def test_all_is_well(fresh: Fresh) -> None:
    api = await fresh.api()
    ready = await api.http.get("/health/ready")
    assert ready.status_code == 200
    parts = {"postgres": "ok", "redis": "ok", "signing_keys": "ok", "login_history": "ok"}
    assert ready.json() == {"status": "ready", **parts}
    assert (await api.http.get("/health/live")).json() == {"status": "alive"}


async def test_rel_10_redis_goes_and_comes_back(fresh: Fresh) -> None:
    """Named while it is away, of no concern to those who only ask whether we live, and found again."""
    settings = await fresh.settings(redis_timeout_ms=500, check_cache_bytes=0)
    async with gated(settings, "redis_url") as (gate, behind), running_app(behind) as api:
        _, tokens = await api.as_role()
        assert (await api.me(tokens)).status_code == 200
        for fail in (gate.shut, gate.freeze):
            if fail is gate.shut:
                await gate.shut()
            else:
                gate.freeze()
            assert _sick(await api.http.get("/health/ready")) == {"redis"}
            assert (await api.http.get("/health/live")).status_code == 200
            assert (await api.http.get("/.well-known/jwks.json")).status_code == 200
            unknown = await api.me(tokens)
            assert error_of(unknown) == (503, "temporarily_unavailable")  # unknown is not no
            assert unknown.headers["retry-after"] == "1"
            await gate.open()
            await _until(api.http, "/health/ready")
            assert (await api.me(tokens)).status_code == 200


async def test_rel_10_postgres_is_away(servers: Servers) -> None:
    gone = f"postgresql://auth:the-password@127.0.0.1:{free_port()}/auth"
    async with _started(test_settings(database_url=gone, redis_url=servers.redis_db(1))) as http:
        answer = await http.get("/health/ready")
        assert _sick(answer) == {"postgres", "signing_keys"}
        assert "the-password" not in answer.text
        assert str(urlsplit(gone).port) not in answer.text
        assert (await http.get("/health/live")).status_code == 200
        login = await http.post(f"{V1}/auth/login", json={"login": "anybody", "password": PASSWORD})
        assert error_of(login) == (503, "temporarily_unavailable")
        assert login.headers["retry-after"] == "1"


def _with(url: str, **parts: str) -> str:
    return urlunsplit(urlsplit(url)._replace(**parts))


def _at(url: str, place: str, user: str | None = None) -> str:
    return _with(url, netloc=f"{urlsplit(url).netloc.rpartition('@')[0] if user is None else user}@{place}")


# How an operator's URL differs from the right one, and what /health/ready and the log make of it.
WRONG_POSTGRES: dict[str, tuple[Callable[[str], str], str]] = {
    "unknown host": (lambda url: _at(url, "nowhere.invalid:5432"), "has a host name that is unknown (gaierror)"),
    "refused port": (lambda url: _at(url, "127.0.0.1:1"), "is where nothing listens (ConnectionRefusedError)"),
    "password": (
        lambda url: _at(url, urlsplit(url).netloc.rpartition("@")[2], "auth:the-wrong-password"),
        "refuses its user or password (InvalidPasswordError)",
    ),
    "database": (
        lambda url: _with(url, path="/no_such_database"),
        "has no database of that name (InvalidCatalogNameError)",
    ),
}
WRONG_REDIS: dict[str, tuple[Callable[[str], str], str]] = {
    "unknown host": (lambda _: "redis://nowhere.invalid:6379/0", "has a host name that is unknown (gaierror)"),
    "refused port": (lambda _: "redis://127.0.0.1:1/0", "is where nothing listens (ConnectionRefusedError)"),
    "database": (lambda url: _with(url, path="/99"), "has no database of that number (ResponseError)"),
    "TLS": (lambda url: _with(url, scheme="rediss"), "does not let us connect in time (TimeoutError)"),
}


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [*(f"postgres {name}" for name in WRONG_POSTGRES), *(f"redis {n}" for n in WRONG_REDIS)]
)
async def test_a_wrong_address_is_told_as_what_it_is(shared_settings: Settings, name: str) -> None:
    part, _, mistake = name.partition(" ")
    setting = {"postgres": "database_url", "redis": "redis_url"}[part]
    right = getattr(shared_settings, setting).get_secret_value()
    if "+" in urlsplit(right).scheme:
        pytest.skip("this Redis has several hosts")
    change, words = (WRONG_POSTGRES if part == "postgres" else WRONG_REDIS)[mistake]
    wrong = shared_settings.model_copy(update={setting: SecretStr(change(right)), "redis_timeout_ms": 1000})
    with capture_logs() as logs:
        async with _started(wrong) as http:
            answer = await http.get("/health/ready")
            assert part in _sick(answer)
            assert answer.json()[part].startswith(f"{setting.upper()}: {words}"), answer.text
            if part == "postgres":
                login = await http.post(f"{V1}/auth/login", json={"login": "nobody", "password": PASSWORD})
                assert error_of(login) == (503, "temporarily_unavailable")
    (line,) = [line for line in logs if line["event"] == "not_ready"]
    assert line["setting"] == setting.upper()
    assert line["problem"].startswith(words)
    assert line["fix"]
    assert not [line for line in logs if line.get("exc_info")]
    assert not {"the-wrong-password", "nowhere.invalid"} & set(re.findall(r"[\w.-]+", answer.text + str(logs)))


async def test_ready_says_what_to_do_where_nothing_is_migrated(servers: Servers) -> None:
    name = f"auth_bare_{servers.worker}"
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        settings = test_settings(database_url=servers.database(name), redis_url=servers.redis_db(1))
        async with _started(settings) as http:
            answer = await http.get("/health/ready")
            assert _sick(answer) == {"postgres", "signing_keys"}
            assert "auth-service migrate" in answer.json()["postgres"]
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def test_a_default_role_that_does_not_exist_is_named(fresh: Fresh) -> None:
    api = await fresh.api(default_role="nobody-made-it")
    answer = await api.http.get("/health/ready")
    assert answer.status_code == 503
    assert "DEFAULT_ROLE" in answer.json()["postgres"]


@pytest.mark.long
async def test_rel_10_the_service_starts_before_its_stores(fresh: Fresh) -> None:
    """The shipped command lives without them, says which is missing, and heals as each of them comes."""
    settings = await fresh.settings(database_timeout_seconds=2, redis_timeout_ms=500)
    redis_url = settings.redis_url.get_secret_value()
    async with gate_to(settings.asyncpg_dsn) as postgres, gate_to(redis_url) as redis:
        await postgres.shut()
        await redis.shut()
        port = free_port()
        behind = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "auth_service", "serve", "--port", str(port)),
            env=environment_of(settings) | behind,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
                await _until(http, "/health/live")
                assert _sick(await http.get("/health/ready")) == {"postgres", "redis", "signing_keys"}
                assert process.returncode is None
                await redis.open()
                assert _sick(await http.get("/health/ready")) == {"postgres", "signing_keys"}
                await postgres.open()
                await _until(http, "/health/ready")
                login = await http.post(f"{V1}/auth/login", json={"login": "nobody", "password": PASSWORD})
                assert error_of(login) == (401, "invalid_credentials")
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@pytest.mark.long
async def test_rel_9_aborted_calls_leave_nothing_behind(fresh: Fresh) -> None:
    """Hundreds of clients that hang up at any moment; then the small pools are whole and every answer is one's own."""
    settings = await fresh.settings(database_pool_size=3, redis_pool_size=3)
    in_process = await fresh.on(settings)
    callers = [await in_process.as_role("admin") for _ in range(4)]
    service = await fresh.service(settings)
    port = int(service.base_url.rpartition(":")[2])
    dice = random.Random(20_30)

    def request(method: str, path: str, token: str, body: object = None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {V1}{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        return head.encode() + content

    def register(token: str) -> bytes:
        login = unique("aborted")
        return request(
            "POST", "/auth/register", token, {"login": login, "email": f"{login}@a.example", "password": PASSWORD}
        )

    def grant(token: str) -> bytes:
        return request("PUT", f"/users/{dice.choice(callers)[0].id}/roles/subscriber", token, {})

    cheap: list[Callable[[str], bytes]] = [
        lambda token: request("GET", "/users/me", token),
        lambda token: request("POST", "/permissions/check", token, {"permission": "films:read"}),
        lambda token: request("GET", "/users/me/login-history", token),
        lambda token: request("PATCH", "/users/me", token, {"full_name": "Somebody"}),
        grant,
    ]

    async def abort(sent: bytes) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            writer.write(sent if dice.random() < 0.8 else sent[: dice.randrange(len(sent))])
            await writer.drain()
        await asyncio.sleep(dice.random() * 0.03)
        writer.transport.abort()

    for _ in range(20):
        kinds = [*(dice.choice(cheap) for _ in range(18)), register, register]
        await asyncio.gather(*(abort(kind(dice.choice(callers)[1].access)) for kind in kinds))

    for _ in range(5):  # more at once than the pools have connections
        answers = await asyncio.gather(
            *(service.http.get(f"{V1}/users/me", headers=tokens.bearer) for _, tokens in callers * 5)
        )
        for (account, _), answer in zip(callers * 5, answers, strict=True):
            assert answer.status_code == 200, answer.text
            assert answer.json()["id"] == str(account.id)
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        # Those who hung up may all have been too quick for a registration. This one hangs up when it is done.
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(register(callers[0][1].access))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await connection.fetchval("SELECT count(*) FROM users") <= len(callers):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await connection.fetchval(_BUSY):  # noqa: ASYNC110  Postgres has no event for it
                await asyncio.sleep(0.05)
        whole = "SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM user_roles WHERE user_id = u.id)"
        assert await connection.fetchval(whole) == 0
        assert await connection.fetchval("SELECT count(*) FROM users") > len(callers)  # some got through
    finally:
        await connection.close()
    for line in service.log().splitlines():
        entry = json.loads(line)
        assert entry["level"] != "error", entry
        assert entry.get("status", 0) != 500, entry


# Ours, but not this one: in a transaction, or holding a lock that outlives a statement.
_BUSY = """
SELECT count(*) FROM pg_stat_activity a
WHERE datname = current_database() AND application_name = 'auth-service'
AND (state LIKE 'idle in transaction%'
    OR (state = 'idle' AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory')))
"""

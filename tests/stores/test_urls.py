"""DATABASE_URL and REDIS_URL as hosters write them: what is understood, what is left out, what stops the start."""

import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import pytest
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from auth_service.config import Settings
from auth_service.core.connections import Resources, open_resources
from auth_service.core.stores.postgres import NotLetIn
from auth_service.core.stores.redis_client import ping_masters
from auth_service.core.stores.trouble import trouble_of
from auth_service.core.telemetry.log import tell_what_is_left_out
from auth_service.main import create_app
from auth_service.store_urls.postgres import read_postgres_url
from auth_service.store_urls.redis import read_redis_url
from tests.conftest import Servers, test_settings
from tests.support.command import Command
from tests.support.service_process import free_port
from tests.support.smtp_server import certificate_for_tests
from tests.support.tls_front import front_of

CANARY = "s3cret-canary-of-the-urls"
PG = f"postgresql://auth:{CANARY}@db.example:5432/auth"
RED = f"redis://:{CANARY}@redis.example:6379/0"


@pytest.fixture(autouse=True)
def _no_certificates_of_this_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PGSSLROOTCERT", "PGSSLMODE", "PGHOST", "PGPORT", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """Of 127.0.0.1 alone."""
    return certificate_for_tests(tmp_path)


# --- DATABASE_URL

# query: what asyncpg is told, what the server is told, what is left out
UNDERSTOOD = {
    "": ("", {}, []),
    "sslmode=require": ("sslmode=require", {}, []),
    "sslmode=prefer": ("sslmode=prefer", {}, []),
    "ssl=require": ("sslmode=require", {}, []),
    "ssl=true": ("sslmode=require", {}, []),
    "ssl=false": ("sslmode=disable", {}, []),
    "ssl=require&sslmode=require": ("sslmode=require", {}, []),
    "sslmode=no-verify": ("sslmode=require", {}, []),
    "sslmode=require&channel_binding=prefer": ("sslmode=require", {}, ["channel_binding"]),
    "target_session_attrs=read-write": ("target_session_attrs=read-write", {}, []),
    "sslmode=require&sslnegotiation=direct": ("sslmode=require&sslnegotiation=direct", {}, []),
    "options=-c%20search_path%3Dcinema": ("", {"options": "-c search_path=cinema"}, []),
    "options=endpoint%3Dep-cool-1234": ("", {"options": "endpoint=ep-cool-1234"}, []),
    "schema=public": ("", {"search_path": '"public"'}, []),
    'currentSchema=a"b': ("", {"search_path": '"a""b"'}, []),
    "connect_timeout=5&application_name=x": ("", {}, ["application_name", "connect_timeout"]),
    "pool_size=5&max_overflow=2&pgbouncer=false": ("", {}, ["max_overflow", "pgbouncer", "pool_size"]),
    "keepalives=1&keepalives_idle=30&sslcompression=0": (
        "",
        {},
        ["keepalives", "keepalives_idle", "sslcompression"],
    ),
    "gssencmode=disable&krbsrvname=pg&fallback_application_name=y": (
        "krbsrvname=pg",
        {},
        ["fallback_application_name", "gssencmode"],
    ),
    "prepared_statement_cache_size=100&statement_timeout=0": (
        "",
        {},
        ["prepared_statement_cache_size", "statement_timeout"],
    ),
}


@pytest.mark.parametrize("query", UNDERSTOOD)
def test_an_option_of_postgres_is_understood_or_left_out(query: str) -> None:
    kept, server_settings, left_out = UNDERSTOOD[query]
    address = read_postgres_url(f"{PG}?{query}")
    assert (urlsplit(address.dsn).query, address.server_settings) == (kept, server_settings)
    assert sorted(address.left_out) == left_out
    assert address.tls is None
    assert CANARY not in repr(address)


# what is refused by its name, by the name that is told
REFUSED = {
    "channel_bindin=require": "channel_bindin",
    "sslmode=verify": "sslmode",
    "sslmode=disable&ssl=true": "sslmode",
    "sslmode=verify-full&sslmode=disable": "sslmode",
    "sslmode=verify-ca": "sslmode=verify-ca",
    "sslmode=disable&channel_binding=require": "channel_binding=require",
    "channel_binding=maybe": "channel_binding",
    "sslmode=require&sslrootcert=system": "sslrootcert=system",
    f"sslmode=verify-full&sslrootcert=/{CANARY}": "sslrootcert",
    f"sslcert=/{CANARY}": "sslcert",
    f"passfile=/{CANARY}": "passfile",
    "sslmode=require&ssl_min_protocol_version=SSLv3": "ssl_min_protocol_version",
    "sslmode=prefer&sslnegotiation=direct": "sslnegotiation=direct",
    "target_session_attrs=standby": "target_session_attrs",
    f"target_session_attrs={CANARY}": "target_session_attrs",
    "gssencmode=require": "gssencmode",
    "client_encoding=latin1": "client_encoding",
    f"require_auth={CANARY}": "require_auth",
    f"sslcrldir=/{CANARY}": "sslcrldir",
    f"hostaddr={CANARY}": "hostaddr",
    f"jit={CANARY}": "jit",
    f"host={CANARY}": "host",
    "port=1,2": "port",
}


@pytest.mark.parametrize("query", REFUSED)
def test_sec_1_any_other_option_of_postgres_is_refused_by_its_name(query: str) -> None:
    with pytest.raises(ValueError, match=f"the options? {REFUSED[query]} ") as caught:
        read_postgres_url(f"{PG}?{query}")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://auth:12?{CANARY}=x@db.example/auth",  # a password with a question mark
        f"postgresql://auth:12?{CANARY}@db.example/auth",
        f"postgresql://auth:12#{CANARY}@db.example/auth",
        f"postgresql://auth:p@{CANARY}@db.example/auth",  # asyncpg would take the rest for the host
        f"{PG}?{CANARY}",
        f"{PG}?a b={CANARY}",
        f"postgresql://auth:{CANARY}@db..example/auth",
        f"postgresql://auth:{CANARY}@{'d' * 64}.example/auth",
    ],
)
def test_sec_1_what_may_be_the_rest_of_a_password_is_never_told(url: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded") as caught:
        read_postgres_url(url)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hosts", "dsn"),
    [
        (
            "postgresql:///auth?host=/run/pg&user=me",
            (("/run/pg", 5432),),
            "postgresql:///auth?host=/run/pg&user=me&port=5432",
        ),
        ("postgresql://me@%2Frun%2FPg/auth", (("/run/Pg", 5432),), "postgresql://me@%2Frun%2FPg/auth"),
        ("postgresql://me:p@/auth?host=a,b&port=1,2", (("a", 1), ("b", 2)), "postgresql://me:p@a:1,b:2/auth"),
        ("postgresql://me@a/auth?port=6432", (("a", 6432),), "postgresql://me@a:6432/auth"),
        ("postgresql://me@[2001:db8::1]/auth?port=1", (("2001:db8::1", 1),), "postgresql://me@[2001:db8::1]:1/auth"),
        ("POSTGRES://me@a:1,b:2/auth?connect_timeout=3", (("a", 1), ("b", 2)), "postgresql://me@a:1,b:2/auth"),
        ("postgresql:///auth", (), "postgresql:///auth"),
    ],
)
def test_hosts_may_stand_in_the_options(url: str, hosts: tuple[tuple[str, int], ...], dsn: str) -> None:
    address = read_postgres_url(url)
    assert address.hosts == hosts
    assert address.dsn.replace("%2F", "/") == dsn.replace("%2F", "/")


@asynccontextmanager
async def _opened(url: str, redis_url: str = "redis://127.0.0.1:1/0") -> AsyncIterator[Resources]:
    settings = test_settings(database_url=url, redis_url=redis_url, database_timeout_seconds=20)
    async with open_resources(settings) as resources:
        yield resources


async def _ask(url: str) -> str:
    """What is wrong, in words, or `ok`; of both pools."""
    async with _opened(url) as resources:
        try:
            assert await resources.hot.fetchval("SELECT 1") == 1
            async with resources.engine.connect() as connection:
                assert (await connection.exec_driver_sql("SELECT 1")).scalar_one() == 1
        except OSError as error:
            trouble = trouble_of(error)
            assert trouble is not None
            return trouble.problem
    return "ok"


NOT_TRUSTED, NO_TLS = "certificate that is not trusted", "speaks no TLS"
# query ({ca}: the authority's file), host, whether the machine trusts the authority: what comes of it
TLS = {
    "encrypted": ("sslmode=require", "127.0.0.1", False, "ok"),
    "as SQLAlchemy's users write it": ("ssl=true", "127.0.0.1", False, "ok"),
    "Neon's default": ("sslmode=require&channel_binding=require", "127.0.0.1", True, "ok"),
    "Neon's default and a stranger": ("sslmode=require&channel_binding=require", "127.0.0.1", False, NOT_TRUSTED),
    "Neon's default and another's name": ("sslmode=require&channel_binding=require", "localhost", True, NOT_TRUSTED),
    "a bound channel with an authority": ("channel_binding=require&sslrootcert={ca}", "127.0.0.1", False, "ok"),
    "a bound channel by another name": ("channel_binding=require&sslrootcert={ca}", "localhost", False, NOT_TRUSTED),
    "verified": ("sslmode=verify-full&sslrootcert={ca}", "127.0.0.1", False, "ok"),
    "verified, another name": ("sslmode=verify-full&sslrootcert={ca}", "localhost", False, NOT_TRUSTED),
    "any name of the authority": ("sslmode=verify-ca&sslrootcert={ca}", "localhost", False, "ok"),
    "an authority makes require verify": ("sslmode=require&sslrootcert={ca}", "localhost", False, "ok"),
    "the machine's authorities": ("sslmode=verify-full&sslrootcert=system", "127.0.0.1", True, "ok"),
    "the machine's authorities, a stranger": ("sslrootcert=system", "127.0.0.1", False, NOT_TRUSTED),
    "the machine's authorities by default": ("sslmode=verify-full", "127.0.0.1", True, "ok"),
    "by default, a stranger": ("sslmode=verify-full", "127.0.0.1", False, NOT_TRUSTED),
    "two hosts": ("sslmode=verify-full", "127.0.0.1:{closed},127.0.0.1", True, "ok"),
}


@pytest.mark.parametrize("name", TLS)
async def test_sec_1_sslmode_is_kept_to_the_letter(
    servers: Servers, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    query, host, trusted, expected = TLS[name]
    file, context = certificate
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with front_of(servers.database_url, context) as front:
        url = front.url(query.format(ca=quote(str(file))), host=host.format(closed=free_port()))
        assert expected in await _ask(url)
        assert front.plain == 0
        assert (front.encrypted > 0) is (expected == "ok")


async def test_sec_1_without_tls_at_the_server_no_mode_that_asks_for_it_goes_on(
    servers: Servers, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    """The embedded server is built without TLS."""
    for query in ("sslmode=require", "channel_binding=require", "sslmode=verify-full"):
        assert NO_TLS in await _ask(f"{servers.database_url}?{query}")
    for query in ("sslmode=disable", "sslmode=prefer", "ssl=false", "connect_timeout=5&channel_binding=prefer"):
        assert await _ask(f"{servers.database_url}?{query}") == "ok"
    async with front_of(servers.database_url, certificate[1]) as front:
        assert await _ask(front.url("sslmode=disable")) == "ok"
        assert front.encrypted == 0


async def test_our_limits_outlive_what_the_url_asks_of_the_server(servers: Servers) -> None:
    asked = quote("-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c work_mem=5MB")
    query = f"options={asked}&schema=cinema&application_name=x&statement_timeout=0"
    wanted = {
        "statement_timeout": "20s",
        "idle_in_transaction_session_timeout": "50s",
        "work_mem": "5MB",
        "search_path": '"cinema"',
        "application_name": "auth-service",
        "TimeZone": "UTC",
    }
    closed = urlsplit(servers.database_url)
    for url in (servers.database_url, urlunsplit(closed._replace(netloc=f"{closed.netloc},127.0.0.1:{free_port()}"))):
        async with _opened(f"{url}?{query}") as resources, resources.engine.connect() as connection:
            for name, value in wanted.items():
                assert await resources.hot.fetchval("SELECT current_setting($1)", name) == value
                assert (await connection.exec_driver_sql(f"SHOW {name}")).scalar_one() == value


async def test_postgres_on_a_socket(servers: Servers) -> None:
    parts = urlsplit(servers.database_url)
    with tempfile.TemporaryDirectory(prefix="pg") as folder:  # a socket's path is short
        async with front_of(servers.database_url, socket=Path(folder) / ".s.PGSQL.5432") as front:
            user = parts.netloc.rpartition("@")[0]
            for url in (
                f"postgresql://{user}@{parts.path}?host={folder}",
                f"postgresql://{user}@{quote(folder, safe='')}{parts.path}",
                f"postgresql://{user}@{parts.path}?host={folder},{folder}&port=5432,5433",
            ):
                assert await _ask(url) == "ok"
            assert front.plain >= 3
    assert "socket that does not exist" in await _ask(f"postgresql://{user}@{parts.path}?host={folder}")


@pytest.mark.parametrize("query", ["options=-c%20no_such_setting%3D1", "options=endpoint%3Dep-cool-1234"])
async def test_what_the_server_does_not_take_is_unknown_and_no_mistake_of_ours(servers: Servers, query: str) -> None:
    url = f"{servers.database_url}?{query}"
    async with _opened(url) as resources:
        with pytest.raises(NotLetIn) as caught:
            await resources.hot.fetchval("SELECT 1")
    trouble = trouble_of(caught.value)
    assert trouble is not None
    assert "options" in trouble.problem
    app = create_app(test_settings(database_url=url, redis_url=servers.redis_db(1)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http,
    ):
        ready = await http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["postgres"].startswith("DATABASE_URL: does not take what the URL's options ask")


# --- REDIS_URL

REDIS_UNDERSTOOD = {
    "": ({}, []),
    "client_name=auth": ({"client_name": "auth"}, []),
    "socket_timeout=30&socket_connect_timeout=5&max_connections=9": (
        {},
        ["max_connections", "socket_connect_timeout", "socket_timeout"],
    ),
    "retry_on_timeout=true&decode_responses=false": ({}, ["decode_responses", "retry_on_timeout"]),
    "protocol=2&health_check_interval=30&family=0": ({}, ["family", "health_check_interval", "protocol"]),
}


@pytest.mark.parametrize("query", REDIS_UNDERSTOOD)
@pytest.mark.parametrize("kind", ["redis://:p@a/0", "redis+sentinel://:p@a/0?service=s", "redis+cluster://:p@a"])
def test_an_option_of_redis_is_understood_or_left_out(kind: str, query: str) -> None:
    options, left_out = REDIS_UNDERSTOOD[query]
    address = read_redis_url(f"{kind}{'&' if '?' in kind else '?'}{query}")
    assert options.items() <= address.options.items()
    assert sorted(address.left_out) == left_out
    assert not {"socket_timeout", "retry_on_timeout", "decode_responses", "max_connections"} & address.options.keys()


REDIS_REFUSED = {
    f"?prefix={CANARY}": "prefix",
    f"?ssl={CANARY}": "ssl",
    "?ssl_cert_reqs=none": "ssl_cert_reqs",  # without TLS
    f"?db={CANARY}": "db",
    "?db=3": "db",  # another one than in the path
    "?retry_on_timeout=1&retry_on_timeout=0": "retry_on_timeout",
}


@pytest.mark.parametrize("query", REDIS_REFUSED)
def test_sec_1_any_other_option_of_redis_is_refused_by_its_name(query: str) -> None:
    with pytest.raises(ValueError, match=f"the option {REDIS_REFUSED[query]} ") as caught:
        read_redis_url(RED + query)
    assert CANARY not in str(caught.value)


def test_redis_by_tls_is_verified_unless_the_url_says_otherwise(tmp_path: Path) -> None:
    file, _ = certificate_for_tests(tmp_path)
    secure = RED.replace("redis:", "rediss:")
    assert "ssl_cert_reqs" not in read_redis_url(secure).options  # redis-py verifies
    assert read_redis_url(f"{secure}?ssl_cert_reqs=CERT_NONE").options["ssl_cert_reqs"] == "none"
    assert read_redis_url(f"{secure}?ssl_ca_certs={file}").options["ssl_ca_certs"] == str(file)
    for query, name in {
        "ssl_cert_reqs=maybe": "ssl_cert_reqs",
        "ssl_check_hostname=maybe": "ssl_check_hostname",
        f"ssl_ca_certs=/{CANARY}": "ssl_ca_certs",
        f"ssl_ca_certs={tmp_path / 'key.pem'}": "of TLS",
    }.items():
        with pytest.raises(ValueError, match=f"option {name} ") as caught:
            read_redis_url(f"{secure}?{query}")
        assert CANARY not in str(caught.value)


async def _ping(url: str) -> str:
    async with _opened("postgresql://nobody@127.0.0.1:1/none", url) as resources:
        try:
            await ping_masters(resources.redis)
        except RedisError as error:
            trouble = trouble_of(error)
            return str(trouble and f"{trouble.setting}: {trouble.problem}")
        kwargs = resources.redis.connection_pool.connection_kwargs
        assert kwargs["decode_responses"] is True
        assert kwargs["socket_timeout"] == 5
        assert kwargs["retry"].get_retries() == 0
    return "ok"


@pytest.fixture
def one_redis(servers: Servers) -> str:
    url = servers.redis_db(1)
    if "+" in urlsplit(url).scheme:
        pytest.skip("a front stands before one server, and this Redis has several")
    return url


async def test_redis_with_options_and_on_a_socket(one_redis: str) -> None:
    assert await _ping(f"{one_redis}?socket_timeout=0.001&max_connections=1&protocol=2&decode_responses=false") == "ok"
    assert await _ping(f"{one_redis}?retry_on_timeout=true&health_check_interval=30") == "ok"
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        socket = Path(folder) / "redis.sock"
        async with front_of(one_redis, socket=socket) as front:
            assert await _ping(f"unix://{socket}?db=1") == "ok"
            assert front.plain > 0
        socket.unlink(missing_ok=True)
        assert "socket that does not exist" in await _ping(f"unix://{socket}?db=1")


async def test_redis_by_tls(
    one_redis: str, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate
    async with front_of(one_redis, context) as front:
        assert await _ping(front.url(f"ssl_ca_certs={file}", scheme="rediss")) == "ok"
        assert await _ping(front.url("ssl_cert_reqs=none", scheme="rediss", host="localhost")) == "ok"
        assert NOT_TRUSTED in await _ping(front.url(scheme="rediss"))
        assert NOT_TRUSTED in await _ping(front.url(f"ssl_ca_certs={file}", scheme="rediss", host="localhost"))
        assert (
            await _ping(front.url(f"ssl_ca_certs={file}&ssl_check_hostname=false", scheme="rediss", host="localhost"))
            == "ok"
        )
        assert "REDIS_URL: hangs up, or answers in another language" in await _ping(front.url())
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert await _ping(front.url(scheme="rediss")) == "ok"


# --- told once, and to whom


def test_what_is_left_out_is_logged_with_its_reason_and_without_its_value() -> None:
    settings = test_settings(
        database_url=f"{PG}?sslmode=require&channel_binding=require&application_name={CANARY}",
        redis_url=f"{RED}?socket_timeout=30",
    )
    with capture_logs() as logs:
        tell_what_is_left_out(settings)
    assert [(line["setting"], line["option"]) for line in logs] == [
        ("DATABASE_URL", "application_name"),
        ("DATABASE_URL", "channel_binding"),
        ("REDIS_URL", "socket_timeout"),
    ]
    assert "verify-full" in logs[1]["why"]
    assert {line["log_level"] for line in logs} == {"info"}
    assert CANARY not in str(logs)


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments", [("serve",), ("migrate",), ("users", "list"), ("relay",), ("doctor",)], ids=" ".join
)
async def test_an_unknown_option_ends_every_command_before_it_begins(
    shared_settings: Settings, arguments: tuple[str, ...]
) -> None:
    command = Command(shared_settings, DATABASE_URL=f"{PG}?no_such_option={CANARY}")
    done = await command(*arguments) if arguments[0] == "doctor" else await command.process(*arguments)
    assert done.code == (1 if arguments[0] == "doctor" else 2), done
    assert "no_such_option" in done.out + done.err
    assert CANARY not in done.out + done.err
    if arguments[0] != "doctor":
        assert len(done.err.splitlines()) == 1
        assert done.err.startswith("DATABASE_URL: the option no_such_option ")

"""What the real process writes: one JSON object a line, whatever clients send, and never a secret."""

import io
import json
import traceback
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError

from auth_service.core.telemetry.log import as_dicts, print_traceback
from auth_service.models import Role
from tests.conftest import TEST_SECRET, Fresh
from tests.support.api import V1, Api, error_of, tokens_of, unique
from tests.support.secrecy import in_postgres, in_redis
from tests.support.service_process import ServiceProcess

# As uvicorn hands them over: what HTTP itself forbids in a header never gets so far.
HOSTILE_AGENTS = [
    'a", "level": "critical", "event": "pwned',
    "a\\u000a\\r\\n{}",
    "\x1b[2J\x1b[31mred",
    "a\x85b\xa0c\xad",
    "{{7*7}} %s %(levelname)s {0.__class__}",
    "a" * 7000,
]
HOSTILE_LOGINS = [*HOSTILE_AGENTS[4:5], "a\u2028{}\u2029", '"}\u0085{"', "\u202egnp", "a\u200b", "[bold red]a[/]"]


def _entries(service: ServiceProcess) -> list[dict[str, Any]]:
    """Split at LF only: that is what a collector does."""
    lines = service.log_path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    return [json.loads(line) for line in lines]


@pytest.mark.long
async def test_aud_3_one_event_is_one_line(fresh: Fresh) -> None:
    settings = await fresh.settings()
    service = await fresh.service(settings)
    sent = 0
    for agent in HOSTILE_AGENTS:
        answer = await service.http.get("/nothing", headers=[(b"user-agent", agent.encode("latin-1"))])
        sent += answer.status_code != 400  # control characters are no HTTP
    for login in HOSTILE_LOGINS:
        answer = await service.http.post(f"{V1}/auth/login", json={"login": login, "password": "wrong password"})
        assert error_of(answer) == (401, "invalid_credentials")
        sent += 1
    for path in ("/a%22%7d", "/%e2%80%a8", "/%c2%85", "/%5b%5d", "/a%5c%6eb", "/%5bbold%20red%5da"):
        assert error_of(await service.http.get(path))[0] == 404
        sent += 1
    await service.http.get("/health/live")  # now the lines of all others are written
    entries = _entries(service)
    requests = [entry for entry in entries if entry["event"] == "request"]
    assert len([entry for entry in requests if not entry["path"].startswith("/health/")]) == sent
    for entry in entries:
        assert {"event", "level", "logger", "timestamp"} <= entry.keys()
        assert entry["level"] in {"info", "warning"}
    for entry in requests:
        assert {"request_id", "method", "path", "status", "ms"} <= entry.keys()


@pytest.mark.long
async def test_aud_2_no_secret_in_logs_postgres_or_redis(fresh: Fresh) -> None:
    """A life of an account and of a service account, and then a search for all that was secret in it."""
    settings = await fresh.settings(secret_key=TEST_SECRET)
    in_process = await fresh.on(settings)
    _, admin = await in_process.as_role("superuser")
    service = await fresh.service(settings, workers=2, LOG_LEVEL="DEBUG")
    api = Api(service.http)
    login = unique("canary")
    secrets = {"first password": "Canary-Password-One-8472", "second password": "Canary-Password-Two-9310"}
    secrets["wrong password"] = "Canary-Password-Wrong-5508"
    agent = {"User-Agent": "agent-of-the-canary-test"}

    async def post(path: str, body: dict[str, Any], **headers: str) -> Any:
        return await api.http.post(f"{V1}{path}", json=body, headers=agent | headers)

    body = {"login": login, "email": f"{login}@example.com", "password": secrets["first password"]}
    assert (await post("/auth/register", body)).status_code == 201
    assert (await post("/auth/register", body)).status_code == 409
    for account in (login, "nobody-" + login, secrets["wrong password"]):
        wrong = {"login": account, "password": secrets["wrong password"]}
        assert error_of(await post("/auth/login", wrong)) == (401, "invalid_credentials")
    tokens = tokens_of(await post("/auth/login", {"login": login, "password": secrets["first password"]}))
    secrets |= {"first access token": tokens.access, "first refresh token": tokens.refresh}
    tokens = tokens_of(await post("/auth/refresh", {"refresh_token": tokens.refresh}))
    secrets |= {"second access token": tokens.access, "second refresh token": tokens.refresh}
    passwords = {"current_password": secrets["first password"], "new_password": secrets["second password"]}
    assert (await post("/users/me/password", passwords, **tokens.bearer)).status_code == 204
    passwords["current_password"] = secrets["wrong password"]
    assert error_of(await post("/users/me/password", passwords, **tokens.bearer)) == (403, "wrong_password")
    assert (await post("/users/me/password", {"current_password": passwords}, **tokens.bearer)).status_code == 422
    for name, value in secrets.items():
        if "token" in name:
            assert (await api.http.get(f"{V1}/users/me?access_token={value}")).status_code == 401
            assert (await api.http.get(f"{V1}/auth/{value}")).status_code in {404, 431}
    client_id, client_secret = await api.create_service(admin)
    secrets["client secret"] = client_secret
    assert (await api.service_token(client_id, client_secret))["Authorization"]
    by_json = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    granted = await post("/auth/token", by_json)
    secrets["service token"] = granted.json()["access_token"]
    assert (await post("/auth/token", by_json | {"scope": "films:delete"})).status_code == 400
    session = tokens_of(await post("/auth/login", {"login": login, "password": secrets["second password"]}))
    secrets |= {"last access token": session.access, "last refresh token": session.refresh}
    assert (await post("/auth/logout", {"refresh_token": session.refresh}, **session.bearer)).status_code == 204
    assert error_of(await post("/auth/refresh", {"refresh_token": session.refresh}))[0] == 401
    secrets["SECRET_KEY"] = TEST_SECRET
    secrets["database password"] = settings.asyncpg_dsn.partition("//")[2].partition("@")[0].partition(":")[2]

    places = {"log": service.log()} | await in_postgres(settings.direct_address.dsn)
    places |= await in_redis(settings.redis_url.get_secret_value())
    assert "agent-of-the-canary-test" in places["table sessions"]  # the search finds what is there
    assert login in places["table users"]
    assert str(tokens.session_id) in places["redis"]
    assert places["log"].count('"event": "request"') >= 20
    for name, value in secrets.items():
        # Neither whole nor the part of a token that is secret.
        for part in {value, value.rpartition(".")[2]}:
            assert len(part) > 12 or name == "database password", name
            found = [place for place, text in places.items() if part and part in text]
            assert not found, (name, found)
    for place, text in places.items():
        assert "PRIVATE KEY" not in text, place
    for secretive in ("access_token=", "?", "Basic ", "Bearer e"):
        assert secretive not in "".join(str(entry.get("path", "")) for entry in _entries(service))
    assert "access_token=" not in places["log"]


@pytest.mark.long
@pytest.mark.parametrize("driver", ["asyncpg", "SQLAlchemy"])
async def test_aud_2_a_traceback_holds_no_row_that_postgres_refused(api: Api, driver: str) -> None:
    """Its detail is the whole row, on a screen as in JSON; an error of a user's row would show the password hash."""
    canary = unique("canary")

    async def insert() -> None:
        if driver == "asyncpg":
            await api.resources.hot.execute("INSERT INTO roles (name, title) VALUES ('A B', $1)", canary)
        async with api.resources.db.begin() as session:
            session.add(Role(name="A B", title=canary))

    with pytest.raises((asyncpg.CheckViolationError, IntegrityError)) as caught:
        await insert()
    assert canary in "".join(traceback.format_exception(caught.value))
    exc_info = (caught.type, caught.value, caught.tb)
    screen = io.StringIO()
    print_traceback(screen, exc_info)
    for shown in (screen.getvalue(), json.dumps(as_dicts(exc_info))):
        assert "ck_roles_name" in shown
        assert canary not in shown

"""EDG-6: what people write into a field is in no log: neither taken nor refused, nor while a store is down."""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from auth_service.core.telemetry.log import loggable_path, without_details
from tests.conftest import ROOT, Fresh
from tests.support.access import create_permission, create_role
from tests.support.api import PASSWORD, V1, Api, Tokens, unique
from tests.support.hostile import SAMPLES, Operation, operations
from tests.support.secrecy import in_postgres
from tests.support.service_process import ServiceProcess
from tests.support.tcp_gate import gated

OPERATIONS = [operation for operation in operations() if operation.fields]
# They change what people see, and take any text.
KEPT = frozenset(
    {
        ("PATCH", "/permissions/{code}"),
        ("POST", "/permissions"),
        ("PATCH", "/roles/{name}"),
        ("POST", "/roles"),
        ("PUT", "/users/{user_id}/roles/{name}"),
        ("POST", "/services"),
        ("POST", "/admin/users"),
        ("PATCH", "/admin/users/{user_id}"),
        ("DELETE", "/admin/users/{user_id}"),
        ("POST", "/admin/users/{user_id}/reset-mfa"),
        ("POST", "/admin/webhooks"),
        ("PATCH", "/admin/webhooks/{webhook_id}"),
        ("PATCH", "/users/me"),
        ("PATCH", "/users/me/devices/{device_id}"),
        ("POST", "/auth/register"),
        ("POST", "/auth/login"),
    }
)


WHEN_AWAY = frozenset({("POST", "/roles"), ("PATCH", "/admin/users/{user_id}"), ("POST", "/auth/register")})


@dataclass
class Scribe:
    """Fills the text fields of a body with words that are found again."""

    words: list[str] = field(default_factory=list)

    def text(self, shape: str = "canary of {}") -> str:
        self.words.append(shape.format(unique("cnr")))
        return self.words[-1]

    def body(self, operation: Operation, login: str) -> dict[str, Any]:
        path = operation.path.removeprefix(V1)
        body: dict[str, Any] = {}
        for part in operation.fields:
            if len(part.path) == 1 and "string" in part.types:
                body[part.name] = self.value(path, part.name, login)
            elif part.name == "is_active":
                body[part.name] = False
        if path == "/permissions/check/batch":
            body["checks"] = [{"permission": self.text()}]
        return {name: value for name, value in body.items() if value is not None}

    def value(self, path: str, name: str, login: str) -> str | None:
        ours: dict[str, str | None] = {
            "user_id": None,
            "session_id": None,
            "valid_from": None,
            "valid_until": None,
            "expires_at": None,
            "grant_type": "client_credentials",
            "client_id": SAMPLES["client_id"],
            "current_password": PASSWORD,
        }
        if name in ours:
            return ours[name]
        if (path, name) in {("/auth/login", "login"), ("/auth/login", "password")}:
            return {"login": login, "password": PASSWORD}[name]
        shapes = {
            "login": "canary.{}",
            "email": "canary.{}@example.com",
            "url": "https://canary-{}.example.com/",
            ("/permissions", "code"): "canary-{}:use",
            ("/roles", "name"): "canary-{}",
            ("/services", "name"): "canary-{}",
        }
        return self.text(shapes.get((path, name)) or shapes.get(name) or "canary of {}")


def route_of(operation: Operation) -> tuple[str, str]:
    return operation.method, operation.path.removeprefix(V1)


@dataclass
class Scene:
    """A superuser with `tokens`, and a viewer with `login`."""

    api: Api
    service: ServiceProcess
    tokens: Tokens
    login: str
    ids: dict[str, str]
    scribe: Scribe = field(default_factory=Scribe)
    seen: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)

    async def send_all(self, when: str, *again: str, but: frozenset[tuple[str, str]] = frozenset()) -> None:
        """Each operation with texts of its own; `again` the same, which meets what exists."""
        for operation in OPERATIONS:
            if route_of(operation) in but:
                continue
            ids = await self.things()
            content = json.dumps(self.scribe.body(operation, self.login))
            for turn in (when, *again):
                answer = await self.service.http.request(
                    operation.method,
                    operation.url(**ids),
                    content=content,
                    headers={"Content-Type": "application/json", "User-Agent": self.scribe.text()}
                    | (self.tokens.bearer if operation.needs_token else {}),
                )
                self.seen.setdefault(turn, {})[route_of(operation)] = answer.status_code
                assert answer.status_code in {503, *range(200, 430)}, (operation, answer.text)
                if answer.is_error:
                    assert not [word for word in self.scribe.words if word in answer.text], answer.text

    async def things(self) -> dict[str, str]:
        """What a path names: what the scene has, and an account of its own with a second factor."""
        other = await self.api.create_user()
        await self.api.resources.hot.execute(
            "INSERT INTO mfa_totp (user_id, sealed_secret, confirmed_at) VALUES ($1, '', now())", other.id
        )
        return self.ids | {"user_id": str(other.id)}


async def scene(api: Api, service: ServiceProcess) -> Scene:
    _, tokens = await api.as_role("superuser")
    hook = {"url": "https://receiver.example.com/", "kinds": ["user_deleted"]}
    made = await api.http.post(f"{V1}/admin/webhooks", json=hook, headers=tokens.bearer)
    assert made.status_code == 201, made.text
    devices = await api.http.get(f"{V1}/users/me/devices", headers=tokens.bearer)
    ids = {
        "name": await create_role(api, tokens),
        "code": await create_permission(api, tokens),
        "webhook_id": made.json()["id"],
        "device_id": devices.json()["items"][0]["id"],
        "service_id": SAMPLES["client_id"],
        "session_id": SAMPLES["client_id"],
        "job_id": SAMPLES["client_id"],
        "row": "1",
    }
    return Scene(api, service, tokens, (await api.create_user()).login, ids)


@pytest.mark.long
async def test_edg_6_no_free_text_is_in_a_log(fresh: Fresh) -> None:
    settings = await fresh.settings(database_timeout_seconds=1, redis_timeout_ms=300)
    api = await fresh.on(settings)
    async with (
        gated(settings) as (postgres, without_postgres),
        gated(without_postgres, "redis_url") as (redis, behind),
    ):
        service = await fresh.service(behind, LOG_LEVEL="DEBUG")
        s = await scene(api, service)
        await s.send_all("well", "again")
        search = {"search": s.scribe.text()}
        found = await service.http.get(f"{V1}/admin/users", params=search, headers=s.tokens.bearer)
        assert found.status_code == 200
        for store, gate in (("no Postgres", postgres), ("no Redis", redis)):
            await gate.shut()
            await s.send_all(store, but=frozenset(s.seen["well"]) - WHEN_AWAY)  # a store that is away takes its time
            await gate.open()
        for path in (s.scribe.text("canary.{}@example.com"), s.scribe.text(), f"roles/{s.scribe.text()}"):
            assert (await service.http.get(f"{V1}/{path}", headers=s.tokens.bearer)).status_code == 404
        log = service.log()
    taken = {route for route, status in s.seen["well"].items() if status < 300}
    assert taken >= KEPT, KEPT - taken
    assert {409, 404} <= set(s.seen["again"].values())
    for store in ("no Postgres", "no Redis"):
        assert 503 in s.seen[store].values(), s.seen[store]
    assert log.count('"event": "request"') > 2 * len(OPERATIONS) + 2 * len(WHEN_AWAY)
    assert len(s.scribe.words) > 150
    # Where they belong they are: a reason in the audit trail.
    tables = await in_postgres(settings.direct_address.dsn)
    assert "canary of" in tables["table audit_log"]
    assert "canary of" in tables["table roles"]
    hits = {line for word in s.scribe.words for line in log.splitlines() if word in line}
    assert not hits, hits


def log_calls() -> Iterator[tuple[Path, ast.Call]]:
    for file in (ROOT / "auth_service").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
                    yield file, node


def test_edg_6_no_log_call_names_a_field_of_a_request() -> None:
    """New ones are found here before somebody writes a name into that field."""
    texts = {part.name for operation in OPERATIONS for part in operation.fields if "string" in part.types}
    texts -= {"user_id", "session_id", "client_id", "code", "name"}
    assert {"reason", "title", "description", "full_name", "login", "email", "device_name", "url"} <= texts
    calls = list(log_calls())
    assert len(calls) > 40
    for file, call in calls:
        named = {keyword.arg for keyword in call.keywords}
        assert not named & texts, f"{file.name}:{call.lineno}"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (
            'violates unique constraint "uq_users_email_key"\nDETAIL:  Key (email_key)=(a canary) exists.\n[SQL: x]',
            "uq_users_email_key",
        ),
        ("invalid input for query argument $3: 'a canary (of it)' (expected str, got int)", "(expected str, got int)"),
        ("invalid input for query argument $1: 'a canary' (a date)\n[SQL: SELECT 1]", "SELECT 1"),
        ('invalid input syntax for type uuid: "a canary \\"of it"\n[SQL: SELECT 1]', "type uuid"),
        ("Input should be valid [type=int_type, input_value='a canary', input_type=str]", "input_type=str"),
    ],
)
def test_edg_6_exceptions_do_not_repeat_what_they_were_given(words: str, kept: str) -> None:
    assert "canary" not in without_details(words)
    assert kept in without_details(words)


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/api/v1/permissions/films:watch", "/api/v1/permissions/films:watch"),
        ("/api/v1/users/01a22675-7bb1-77cc-b8c9-703d832d0153/roles/x-1", None),
        ("/api/v1/users/somebody@example.com/roles/viewer", "/api/v1/users/…/roles/viewer"),
        ("/api/v1/roles/two words", "/api/v1/roles/…"),
        ("/api/v1/roles/имя/x", "/api/v1/roles/…/x"),
        (f"/{'a' * 41}/a@b", "/…/…"),
        ("/", "/"),
    ],
)
def test_edg_6_a_path_is_logged_without_words(path: str, logged: str | None) -> None:
    assert loggable_path(path) == (path if logged is None else logged)

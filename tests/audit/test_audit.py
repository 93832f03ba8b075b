"""The audit trail: one row for each admin act, in the act's transaction, chained so that tampering shows."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import pytest

from auth_service.admin.grant_jobs import make_job
from auth_service.audit import service
from auth_service.audit.chain import GENESIS
from auth_service.audit.trail import Action, operator
from auth_service.core.http.authzen_rules import is_authzen
from auth_service.core.http.oauth_paths import INTROSPECTION_PATH
from auth_service.locks import Advisory
from auth_service.pages.console.audit_words import FIELDS
from auth_service.permissions.actor import OPERATOR
from auth_service.roles.many_grants import Act as GrantAct
from auth_service.roles.many_grants import Wish
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, role_body
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, error_of, unique
from tests.support.command import Command
from tests.support.phone import enrol_phone
from tests.support.route_table import ACTORS, TABLE, plain

AUDIT = f"{V1}/admin/audit"
WAITING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1"


async def entries(api: Api, caller: Tokens, **query: Any) -> list[dict[str, Any]]:
    """All pages, newest first."""
    items, cursor = [], None
    while True:
        asked = urlencode(query | {"limit": 100} | ({} if cursor is None else {"cursor": cursor}))
        response = await api.http.get(f"{AUDIT}?{asked}", headers=caller.bearer)
        assert response.status_code == 200, response.text
        items += response.json()["items"]
        cursor = response.json()["next_cursor"]
        if cursor is None:
            return items


WEBHOOK = {"url": "https://hooks.invalid/path-of-it", "kinds": ["mfa_reset"]}


@dataclass
class Office:
    """An admin at work, and whom they work on."""

    api: Api
    account: Account
    tokens: Tokens

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        response = await self.api.http.request(method, f"{V1}{path}", json=body, headers=self.tokens.bearer)
        assert response.is_success, (method, path, response.text)
        return response.json() if response.content else None

    async def viewer(self) -> UUID:
        return (await self.api.create_user()).id

    async def grant_job(self) -> UUID:
        """One that no worker takes, as it is an operator's."""
        return (await make_job(self.api.resources, OPERATOR, Wish(GrantAct.GRANT, "guest"), [unique("nobody")])).id

    async def logged_in_viewer(self) -> tuple[UUID, str]:
        account, tokens = await self.api.as_role()
        return account.id, tokens.session_id

    async def armed_viewer(self) -> UUID:
        account, tokens = await self.api.as_role()
        await enrol_phone(self.api, tokens)
        return account.id

    async def service(self) -> str:
        return (await self.api.create_service(self.tokens))[0]

    async def webhook(self) -> str:
        return str((await self.call("POST", "/admin/webhooks", WEBHOOK))["id"])


@pytest.fixture
async def office(fresh: Fresh) -> Office:
    api = await fresh.api()
    return Office(api, *await api.as_role("superuser"))


# For each route by which an admin changes something: what has to be there first, and the act with its result.
Act = Callable[[Office, Any], Awaitable[Any]]


def act(method: str, path: str, body: dict[str, Any] | None = None) -> Act:
    return lambda office, given: office.call(method, path.format(given), body)


REASON = {"reason": "asked for it"}
ACTS: dict[tuple[str, str], tuple[Action, Callable[[Office], Awaitable[Any]] | None, Act]] = {
    ("POST", "/permissions"): (
        Action.PERMISSION_CREATED,
        None,
        lambda o, _: o.call("POST", "/permissions", {"code": f"{unique('thing')}:use", "title": "x"}),
    ),
    ("PATCH", "/permissions/{code}"): (
        Action.PERMISSION_UPDATED,
        lambda o: create_permission(o.api, o.tokens),
        act("PATCH", "/permissions/{}", {"title": "y"}),
    ),
    ("DELETE", "/permissions/{code}"): (
        Action.PERMISSION_DELETED,
        lambda o: create_permission(o.api, o.tokens),
        act("DELETE", "/permissions/{}"),
    ),
    ("POST", "/roles"): (Action.ROLE_CREATED, None, lambda o, _: o.call("POST", "/roles", role_body("films:read"))),
    ("PATCH", "/roles/{name}"): (
        Action.ROLE_UPDATED,
        lambda o: create_role(o.api, o.tokens, "films:read"),
        act("PATCH", "/roles/{}", {"permissions": []}),
    ),
    ("DELETE", "/roles/{name}"): (
        Action.ROLE_DELETED,
        lambda o: create_role(o.api, o.tokens),
        act("DELETE", "/roles/{}"),
    ),
    ("PUT", "/users/{user_id}/roles/{name}"): (
        Action.ROLE_GRANTED,
        Office.viewer,
        act("PUT", "/users/{}/roles/subscriber", REASON),
    ),
    ("DELETE", "/users/{user_id}/roles/{name}"): (
        Action.ROLE_REVOKED,
        Office.viewer,
        act("DELETE", "/users/{}/roles/viewer"),
    ),
    ("POST", "/grants/jobs"): (
        Action.GRANT_JOB_CREATED,
        None,
        act("POST", "/grants/jobs", {"role": "guest", "users": ["nobody-at-all"]}),
    ),
    ("POST", "/grants/jobs/{job_id}/cancel"): (
        Action.GRANT_JOB_CANCELLED,
        Office.grant_job,
        act("POST", "/grants/jobs/{}/cancel"),
    ),
    ("POST", "/services"): (
        Action.SERVICE_CREATED,
        None,
        lambda o, _: o.call("POST", "/services", {"name": unique("service")}),
    ),
    ("POST", "/services/{service_id}/secrets"): (
        Action.SERVICE_SECRET_ADDED,
        Office.service,
        act("POST", "/services/{}/secrets", {}),
    ),
    ("DELETE", "/services/{service_id}"): (Action.SERVICE_DELETED, Office.service, act("DELETE", "/services/{}")),
    ("POST", "/admin/webhooks"): (
        Action.WEBHOOK_CREATED,
        None,
        lambda o, _: o.call("POST", "/admin/webhooks", WEBHOOK),
    ),
    ("PATCH", "/admin/webhooks/{webhook_id}"): (
        Action.WEBHOOK_UPDATED,
        Office.webhook,
        act("PATCH", "/admin/webhooks/{}", {"enabled": False, "url": "https://other.invalid/path-of-it"}),
    ),
    ("DELETE", "/admin/webhooks/{webhook_id}"): (
        Action.WEBHOOK_DELETED,
        Office.webhook,
        act("DELETE", "/admin/webhooks/{}"),
    ),
    ("POST", "/admin/webhooks/{webhook_id}/secrets"): (
        Action.WEBHOOK_SECRET_ROTATED,
        Office.webhook,
        act("POST", "/admin/webhooks/{}/secrets"),
    ),
    ("POST", "/admin/webhooks/{webhook_id}/test"): (
        Action.WEBHOOK_TESTED,
        Office.webhook,
        act("POST", "/admin/webhooks/{}/test"),
    ),
    ("POST", "/admin/users"): (
        Action.USER_CREATED,
        None,
        lambda o, _: o.call(
            "POST", "/admin/users", {"login": (name := unique("new")), "email": f"{name}@x.example", "roles": ["guest"]}
        ),
    ),
    ("PATCH", "/admin/users/{user_id}"): (
        Action.USER_UPDATED,
        Office.viewer,
        act("PATCH", "/admin/users/{}", {"full_name": "Other", "email": "other@x.example"}),
    ),
    ("DELETE", "/admin/users/{user_id}"): (
        Action.USER_DELETED,
        Office.viewer,
        act("DELETE", "/admin/users/{}", REASON),
    ),
    ("POST", "/admin/users/{user_id}/delete"): (
        Action.USER_DELETED,
        Office.viewer,
        act("POST", "/admin/users/{}/delete", REASON),
    ),
    ("POST", "/admin/users/{user_id}/reset-mfa"): (
        Action.MFA_RESET,
        Office.armed_viewer,
        act("POST", "/admin/users/{}/reset-mfa", REASON),
    ),
    ("POST", "/admin/users/{user_id}/send-password-reset"): (
        Action.PASSWORD_RESET_SENT,
        Office.viewer,
        act("POST", "/admin/users/{}/send-password-reset"),
    ),
    ("DELETE", "/admin/users/{user_id}/sessions/{session_id}"): (
        Action.SESSION_ENDED,
        Office.logged_in_viewer,
        lambda o, given: o.call("DELETE", f"/admin/users/{given[0]}/sessions/{given[1]}"),
    ),
    ("POST", "/admin/users/{user_id}/logout-all"): (
        Action.USER_LOGGED_OUT,
        Office.viewer,
        act("POST", "/admin/users/{}/logout-all"),
    ),
    ("POST", "/admin/users/{user_id}/unlock"): (
        Action.USER_UNLOCKED,
        Office.viewer,
        act("POST", "/admin/users/{}/unlock"),
    ),
}


def fields_of(row: dict[str, Any]) -> set[str]:
    facts = [row["before"] or {}, row["after"] or {}]
    return {name for side in facts for name in (*side, *side.get("changed", ()))}


# Acts whose action says it all; all others say in words what they changed.
WORDLESS = {
    *(Action.USER_DELETED, Action.USER_LOGGED_OUT, Action.USER_UNLOCKED, Action.MFA_RESET),
    *(Action.PASSWORD_RESET_SENT, Action.WEBHOOK_TESTED, Action.GRANT_JOB_CANCELLED),
}


def is_for_admins(row: str) -> bool:
    """By whom the matrix lets in: superusers, but no viewers."""
    statuses = dict(zip(ACTORS, row.split(), strict=True))
    return statuses["viewer"] == "403" != statuses["superuser"]


def test_aud_1_every_route_of_admins_that_changes_something_is_an_act() -> None:
    changing = {
        (method, plain(path).removeprefix(V1))
        for (method, path), row in TABLE.items()
        if method != "GET"
        and is_for_admins(row)
        and not path.startswith(f"{V1}/permissions/check")
        and path != INTROSPECTION_PATH
        and not is_authzen(path)
    }
    assert changing == ACTS.keys()


async def test_aud_1_each_act_is_one_row(office: Office) -> None:
    for route, (action, prepare, perform) in ACTS.items():
        given = None if prepare is None else await prepare(office)
        before = await entries(office.api, office.tokens)
        answer = await perform(office, given)
        after = await entries(office.api, office.tokens)
        assert len(after) == len(before) + 1, route
        row = after[0]
        assert (row["actor_kind"], row["actor_id"]) == ("user", str(office.account.id)), route
        assert (row["action"], row["client_address"]) == (action, "127.0.0.1"), route
        assert row["request_id"], route
        assert (row["changes"] == []) is (action in WORDLESS), (route, row)
        assert all(": " in line for line in row["changes"]), row
        assert fields_of(row) <= FIELDS.keys(), "the console has a word for each field"
        target = given[0] if isinstance(given, tuple) else given
        if target is None:
            target = next(answer[key] for key in ("id", "name", "code") if key in answer)
        assert row["target_id"] == str(target), route
        text = str(row)
        shown = answer if isinstance(answer, dict) else {}
        assert not [name for name in ("client_secret", "secret") if shown.get(name, "no secret") in text], route
        assert "path-of-it" not in text, "a path may be what opens the receiver"
        assert "example" not in text, "an address would outlive the account"
    assert (await Command(office.api.resources.settings)("audit", "verify")).code == 0


async def test_aud_1_a_refused_act_leaves_no_row(office: Office) -> None:
    _, admin = await office.api.as_role("admin")
    before = await entries(office.api, office.tokens)
    url = f"{V1}/admin/users/{office.account.id}"
    refused = await office.api.http.request("DELETE", url, json=REASON, headers=admin.bearer)
    assert error_of(refused) == (403, "exceeds_own_permissions")
    assert error_of(await office.api.http.delete(f"{V1}/roles/guest", headers=admin.bearer)) == (409, "role_in_use")
    assert await entries(office.api, office.tokens) == before


async def test_aud_1_what_changed_is_told(office: Office) -> None:
    role = await create_role(office.api, office.tokens, "films:read", "films:watch")
    await office.call("PATCH", f"/roles/{role}", {"permissions": ["films:read"]})
    user = await office.viewer()
    await office.call("PUT", f"/users/{user}/roles/{role}", {"valid_until": "2999-01-01T00:00:00Z", "reason": "trial"})
    await office.call("PUT", f"/users/{user}/roles/{role}", {})
    await office.call("PATCH", f"/admin/users/{user}", {"is_active": False, "reason": "fraud", "full_name": "X"})
    await office.call("PATCH", f"/admin/users/{user}", {"is_active": True, "reason": "an error"})
    enabled, disabled, extended, granted, updated, _created = await entries(office.api, office.tokens)
    assert updated["before"] == {"permissions": ["films:read", "films:watch"]}
    assert updated["after"] == {"permissions": ["films:read"]}
    assert (granted["before"], granted["after"]["role"], granted["reason"]) == (None, role, "trial")
    assert granted["after"]["valid_until"].startswith("2999-01-01")
    assert extended["before"] == granted["after"]
    assert extended["after"]["valid_until"] is None
    assert (disabled["action"], disabled["reason"]) == ("user.disabled", "fraud")
    assert disabled["before"] == {"is_active": True}
    assert disabled["after"] == {"changed": ["full_name", "is_active"], "is_active": False}
    assert (enabled["action"], enabled["reason"]) == ("user.enabled", "an error")


async def test_aud_1_services_are_named_as_themselves(office: Office) -> None:
    client_id, secret = await office.api.create_service(office.tokens, ["permissions:write"])
    headers = await office.api.service_token(client_id, secret)
    body = {"code": f"{unique('thing')}:use", "title": "x"}
    assert (await office.api.http.post(f"{V1}/permissions", json=body, headers=headers)).status_code == 201
    (row,) = await entries(office.api, office.tokens, actor=client_id)
    assert (row["actor_kind"], row["action"]) == ("service", "permission.created")


@pytest.mark.long
async def test_aud_1_the_operator_s_acts_are_rows_too(office: Office, tmp_path: Any) -> None:
    api, command = office.api, Command(office.api.resources.settings)
    account, _ = await api.as_role()
    armed = str(await office.armed_viewer())
    accounts = tmp_path / "accounts.csv"
    stored = await api.resources.hot.fetchval("SELECT password_hash FROM users LIMIT 1")
    accounts.write_text(f'login,email,password_hash\nformer,former@x.example,"{stored}"\n')
    who = account.login
    acts: list[tuple[Action, tuple[str, ...], str]] = [
        (Action.USER_CREATED, ("users", "create", "made", "made@x.example"), PASSWORD),
        (Action.PASSWORD_SET, ("users", "update-password", who), PASSWORD + " new"),
        (Action.USER_DISABLED, ("users", "toggle-active", who), ""),
        (Action.USER_ENABLED, ("users", "toggle-active", who), ""),
        (Action.USER_UNLOCKED, ("users", "unlock", who), ""),
        (Action.MFA_RESET, ("users", "reset-mfa", armed, "--reason", "lost phone"), ""),
        (Action.PASSWORD_RESET_SENT, ("users", "send-password-reset", who), ""),
        (Action.ROLE_GRANTED, ("roles", "grant", who, "subscriber"), ""),
        (Action.ROLE_REVOKED, ("roles", "revoke", who, "subscriber"), ""),
        (Action.SERVICE_CREATED, ("services", "create", "catalogue"), ""),
        (Action.KEY_ROTATED, ("keys", "rotate"), ""),
        (Action.SECRETS_RESEALED, ("keys", "reseal"), ""),
        (Action.USERS_IMPORTED, ("users", "import", str(accounts)), ""),
        (Action.USER_DELETED, ("users", "delete", who, "--yes"), ""),
    ]
    for action, arguments, typed in acts:
        await command.does(*arguments, typed=typed)
        newest = (await command("audit", "list", "--limit", "1", "--json")).rows[0]
        assert newest["action"] == action, arguments
        assert (newest["actor_kind"], newest["actor_id"]) == ("operator", operator().id)
        assert newest["client_address"] is None
    kid = (await command("keys", "list", "--json")).rows[0]["kid"]
    await command.does("keys", "retire", kid, "--yes")
    await command.refuses("keys", "retire", kid, "--yes")
    rows = await entries(api, office.tokens)
    assert [row["action"] for row in reversed(rows)] == [*(action for action, _, _ in acts), "key.retired"]
    assert {name for row in rows for name in fields_of(row)} <= FIELDS.keys()
    assert f"{len(rows)} rows are whole" in await command.does("audit", "verify")
    shown = await command.does("audit", "list", "--target", kid)
    assert "key.retired" in shown
    assert "role.granted" not in shown


async def test_aud_1_one_s_own_account_is_no_admin_act(office: Office) -> None:
    account, tokens = await office.api.as_role()
    body = {"current_password": PASSWORD}
    gone = await office.api.http.request("DELETE", f"{V1}/users/me", json=body, headers=tokens.bearer)
    assert gone.status_code == 204
    assert await entries(office.api, office.tokens, target=str(account.id)) == []


async def test_the_trail_is_read_by_pages_and_filters(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    office = Office(api, *await api.as_role("superuser"))
    roles = []
    for _ in range(3):
        roles.append(await create_role(api, office.tokens))
        clock.forward(seconds=60)
    await office.call("DELETE", f"/roles/{roles[0]}")
    page = (await api.http.get(f"{AUDIT}?limit=2", headers=office.tokens.bearer)).json()
    rest = await api.http.get(f"{AUDIT}?limit=2&cursor={page['next_cursor']}", headers=office.tokens.bearer)
    assert [item["id"] for item in page["items"] + rest.json()["items"]] == [4, 3, 2, 1]
    assert rest.json()["next_cursor"] is None

    async def ids(**query: Any) -> list[int]:
        return [item["id"] for item in await entries(api, office.tokens, **query)]

    assert await ids(target=roles[0]) == [4, 1]
    assert await ids(target=roles[0], action="role.created") == [1]
    assert await ids(actor=str(office.account.id)) == [4, 3, 2, 1]
    middle = (clock() - timedelta(seconds=120)).isoformat()
    assert await ids(since=middle) == [4, 3, 2]
    assert await ids(until=middle) == [1]
    for junk in ("limit=101", "cursor=junk", "action=DROP", "since=now", "sort=hash", "target="):
        response = await api.http.get(f"{AUDIT}?{junk}", headers=office.tokens.bearer)
        assert error_of(response) == (422, "validation_error"), junk


# --- both or neither ---


async def owner_of(api: Api) -> asyncpg.Connection:
    return await asyncpg.connect(api.resources.settings.direct_address.dsn)


@pytest.mark.long
async def test_aud_4_an_act_that_cannot_be_recorded_does_not_happen(office: Office) -> None:
    connection = await owner_of(office.api)
    await connection.execute("ALTER TABLE audit_log ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    user = await office.viewer()
    response = await office.api.http.post(
        f"{V1}/roles", json=role_body(name="unrecorded"), headers=office.tokens.bearer
    )
    assert response.status_code >= 500
    url = f"{V1}/admin/users/{user}"
    assert (await office.api.http.request("DELETE", url, json=REASON, headers=office.tokens.bearer)).status_code >= 500
    assert await connection.fetchval("SELECT count(*) FROM roles WHERE name = 'unrecorded'") == 0
    assert await connection.fetchval("SELECT count(*) FROM users WHERE id = $1", user) == 1
    await connection.execute("ALTER TABLE audit_log DROP CONSTRAINT full_disk")
    await office.call("DELETE", f"/admin/users/{user}", REASON)
    await connection.close()


async def test_aud_4_killed_between_the_act_and_its_row_there_is_neither(office: Office) -> None:
    connection = await owner_of(office.api)
    rows = await connection.fetchval("SELECT count(*) FROM audit_log")
    for number in range(20):
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", Advisory.AUDIT_CHAIN)
            body = role_body(name=f"killed-{number}")
            doomed = asyncio.create_task(office.api.http.post(f"{V1}/roles", json=body, headers=office.tokens.bearer))
            # The act is done and waits to be recorded: the worst moment.
            waiting = None
            while waiting is None:
                await asyncio.sleep(0.01)
                waiting = await connection.fetchval(WAITING, Advisory.AUDIT_CHAIN)
            await connection.execute("SELECT pg_terminate_backend($1)", waiting)
            assert error_of(await doomed) == (503, "temporarily_unavailable")
    assert await connection.fetchval("SELECT count(*) FROM roles WHERE name LIKE 'killed-%'") == 0
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == rows
    await connection.close()


async def test_aud_4_rows_are_appended_and_never_changed(office: Office) -> None:
    await create_role(office.api, office.tokens)
    connection = await owner_of(office.api)
    for statement in ("UPDATE audit_log SET reason = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute(statement)
    await connection.close()


async def test_bey_4_acts_at_once_make_one_chain(fresh: Fresh) -> None:
    settings = await fresh.settings()
    offices = []
    for _ in range(2):
        api = await fresh.on(settings)
        offices.append(Office(api, *await api.as_role("superuser")))
    users = [await offices[0].viewer() for _ in range(20)]
    await asyncio.gather(
        *(offices[n % 2].call("POST", f"/admin/users/{user}/logout-all") for n, user in enumerate(users))
    )
    rows = await entries(offices[0].api, offices[0].tokens)
    assert [row["id"] for row in rows] == list(range(20, 0, -1))
    assert {row["target_id"] for row in rows} == {str(user) for user in users}
    assert "20 rows are whole" in await Command(settings).does("audit", "verify")


# --- tampering, by somebody who owns the database ---


async def tampered(api: Api, *statements: str) -> None:
    connection = await owner_of(api)
    await connection.execute("ALTER TABLE audit_log DISABLE TRIGGER append_only")
    for statement in statements:
        await connection.execute(statement)
    await connection.execute("ALTER TABLE audit_log ENABLE TRIGGER append_only")
    await connection.close()


PUT_IN = (
    "CREATE TEMP TABLE forged AS SELECT * FROM audit_log WHERE id = 5",
    "UPDATE forged SET id = 6",
    "INSERT INTO audit_log SELECT * FROM forged",
)
SWAP = (
    "UPDATE audit_log SET id = -id WHERE id IN (2, 4)",
    "UPDATE audit_log SET id = 6 + id WHERE id < 0",
)


@pytest.mark.parametrize(
    ("statements", "row"),
    [
        pytest.param(("UPDATE audit_log SET actor_id = 'somebody else' WHERE id = 3",), 3, id="altered actor"),
        pytest.param(("UPDATE audit_log SET at = at - interval '1 microsecond' WHERE id = 3",), 3, id="altered time"),
        pytest.param(("UPDATE audit_log SET after = after - 'title' WHERE id = 3",), 3, id="altered after"),
        pytest.param(("UPDATE audit_log SET hash = sha256('x') WHERE id = 1",), 1, id="altered hash"),
        pytest.param(("UPDATE audit_log SET reason = '' WHERE id = 5",), 5, id="altered newest"),
        pytest.param(("DELETE FROM audit_log WHERE id = 1",), 1, id="removed oldest"),
        pytest.param(("DELETE FROM audit_log WHERE id = 3",), 3, id="removed from the middle"),
        pytest.param(
            ("DELETE FROM audit_log WHERE id = 3", "UPDATE audit_log SET id = id - 1 WHERE id > 3"), 3, id="closed up"
        ),
        pytest.param(SWAP, 2, id="swapped"),
        pytest.param(PUT_IN, 6, id="put in"),
    ],
)
async def test_bey_4_tampering_is_found_and_named(office: Office, statements: tuple[str, ...], row: int) -> None:
    for _ in range(5):
        await create_role(office.api, office.tokens)
    command = Command(office.api.resources.settings)
    assert "5 rows are whole" in await command.does("audit", "verify")
    await tampered(office.api, *statements)
    outcome = await command("audit", "verify")
    assert outcome.code == 1
    assert f"row {row} is" in outcome.err
    assert f"{row - 1} rows before it are whole" in outcome.err


async def test_bey_4_a_head_kept_elsewhere_shows_what_was_cut_off(office: Office) -> None:
    command = Command(office.api.resources.settings)
    assert (await command.does("audit", "head")).split() == ["0", GENESIS.hex()]
    for _ in range(3):
        await create_role(office.api, office.tokens)
    number, head = (await command.does("audit", "head")).split()
    assert number == "3"
    await create_role(office.api, office.tokens)
    await command.does("audit", "verify", "--expect-head", head)  # newer rows are no fault
    await tampered(office.api, "DELETE FROM audit_log WHERE id >= 3")
    await command.does("audit", "verify")  # what is left is a chain …
    outcome = await command("audit", "verify", "--expect-head", head)  # … but a shorter one
    assert outcome.code == 1
    assert "none has the expected hash" in outcome.err
    assert "64 hexadecimal digits" in await command.refuses("audit", "verify", "--expect-head", "junk")


async def test_an_erased_user_is_an_id_in_the_trail(office: Office) -> None:
    name = unique("person")
    body = {"login": name, "email": f"{name}@x.example", "full_name": f"Full {name}"}
    made = await office.call("POST", "/admin/users", body)
    await office.call("PATCH", f"/admin/users/{made['id']}", {"login": f"{name}2", "email": f"{name}2@x.example"})
    await office.call("DELETE", f"/admin/users/{made['id']}", REASON)
    rows = await entries(office.api, office.tokens, target=made["id"])
    assert [row["action"] for row in rows] == ["user.deleted", "user.updated", "user.created"]
    assert name not in str(rows)


async def test_bey_4_the_head_is_published_in_the_log(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    await create_role(office.api, office.tokens, "films:read")
    row, digest = await service.read_head(office.api.resources)
    assert row
    capsys.readouterr()
    await service.publish_head(office.api.resources)
    said = capsys.readouterr().out
    assert "audit_head" in said
    assert digest in said
    verdict = await Command(office.api.resources.settings)("audit", "verify", "--expect-head", digest)
    assert verdict.code == 0, verdict.err

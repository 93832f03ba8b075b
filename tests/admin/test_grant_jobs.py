"""Many grants at once: how each row comes out, who may, and what is told of it."""

import asyncio
from typing import Any

import pytest

from auth_service.admin import grant_work
from auth_service.admin.grant_jobs import MOST_NAMES, make_job
from auth_service.jobs import tidy
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.codes import OWN_CODES
from auth_service.roles.many_grants import Act, Wish
from tests.admin.test_csv_lists import download, read_csv
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment, put_grant, revoke
from tests.support.api import V1, Api, Tokens, error_of, unique
from tests.support.command import Command
from tests.support.crowd import begun, crowd, finished, holders, read_job, rows_of, run_job, start_job, traces
from tests.support.outbox import events_of

JOBS = f"{V1}/grants/jobs"
UNTIL = "2999-01-31T00:00:00Z"


async def refused(api: Api, caller: Tokens, body: dict[str, Any]) -> tuple[int, str]:
    return error_of(await api.http.post(JOBS, json=body, headers=caller.bearer))


@pytest.fixture
async def root(api: Api) -> Tokens:
    return (await api.as_role("superuser"))[1]


@pytest.mark.long
async def test_each_row_comes_out_as_by_a_grant_of_its_own(api: Api, root: Tokens) -> None:
    role = await create_role(api, root, await create_permission(api, root))
    new, other, same, ended = await crowd(api, 4)
    await grant(api, root, other.id, role)
    await grant(api, root, same.id, role, valid_until=moment(days=3))
    await put_grant(api, root, ended.id, role, valid_from=moment(days=-9), valid_until=moment(days=-8))
    until = (await holders(api, role))[same.id].isoformat()
    nobody = unique("nobody")
    names = [
        new.email,
        nobody,
        other.login,
        same.id,
        ended.login.upper(),
        new.login,
        "01980000-0000-7000-8000-000000000000",
    ]
    job = await run_job(api, root, role, names, valid_until=until, reason="January")
    assert (job["state"], job["done"], job["total"]) == ("done", 7, 7)
    assert job["counts"] == {"granted": 1, "changed": 2, "unchanged": 2, "no_such_user": 2}
    rows = await rows_of(api, root, job["id"], limit=2)
    assert [row["outcome"] for row in rows] == [
        *("granted", "no_such_user", "changed", "unchanged", "changed", "unchanged", "no_such_user")
    ]
    assert [row["name"] for row in rows] == [str(name) for name in names]
    assert [row["login"] for row in rows] == [new.login, None, other.login, same.login, ended.login, new.login, None]
    assert [row["number"] for row in await rows_of(api, root, job["id"], outcome="no_such_user")] == [2, 7]
    assert {str(end.isoformat()) for end in (await holders(api, role)).values()} == {until}
    (kind, event) = (await events_of(api, new.id))[-1]
    assert (kind, event["role"], event["valid_until"].isoformat()) == ("role_granted", role, until)
    written = await api.http.get(f"{V1}/admin/audit?target={new.id}", headers=root.bearer)
    (row,) = written.json()["items"]
    assert (row["action"], row["before"], row["reason"]) == ("role.granted", None, "January")
    assert row["after"]["valid_until"] == until
    assert row["client_address"] == "127.0.0.1"
    changed = await api.http.get(f"{V1}/admin/audit?target={other.id}&limit=1", headers=root.bearer)
    assert changed.json()["items"][0]["before"]["valid_until"] is None
    assert changed.json()["items"][0]["request_id"] == row["request_id"]

    again = await run_job(api, root, role, names, valid_until=until)
    assert again["counts"] == {"unchanged": 5, "no_such_user": 2}
    taken = await run_job(api, root, role, [new.login, new.email, nobody, same.id], act="revoke")
    assert taken["counts"] == {"revoked": 2, "not_there": 1, "no_such_user": 1}
    assert (await holders(api, role)).keys() == {other.id, ended.id}
    assert (await events_of(api, new.id))[-1][0] == "role_revoked"


@pytest.mark.long
async def test_a_filter_is_asked_once(api: Api, root: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fits it later is not in the job, and who fits it no more still is."""
    monkeypatch.setattr(grant_work, "BATCH", 2)
    first, second = [await create_role(api, root) for _ in range(2)]
    some = await crowd(api, 5)
    mark = some[0].login.removesuffix("n0")
    await run_job(api, root, first, [one.id for one in some[:3]])
    job = await run_job(api, root, first, filter={"role": first, "search": mark}, act="revoke")
    assert job["counts"] == {"revoked": 3}
    assert [row["user_id"] for row in await rows_of(api, root, job["id"])] == [str(one.id) for one in some[:3]]
    assert {row["name"] for row in await rows_of(api, root, job["id"])} == {None}
    job = await run_job(api, root, second, filter={"search": mark, "active": True, "mfa": False})
    assert job["counts"] == {"granted": 5}
    for junk in ({}, {"sort": "id"}, {"active": "yes"}, {"limit": 5}, {"role": "No Role"}):
        assert await refused(api, root, {"role": second, "filter": junk}) == (422, "validation_error"), junk


async def test_a_dry_run_says_what_would_come_out(api: Api, root: Tokens) -> None:
    role, users = await create_role(api, root), await crowd(api, 3)
    await put_grant(api, root, users[1].id, role)
    body = {"role": role, "users": [users[0].login, unique("ghost"), users[1].email, str(users[2].id), users[0].login]}
    answer = await api.http.post(f"{JOBS}?dry_run=true", json=body, headers=root.bearer)
    assert answer.status_code == 200, answer.text
    counts = {name: count for name, count in answer.json()["counts"].items() if count}
    assert (answer.json()["total"], answer.json()["unknown"]) == (5, [2])
    assert counts == {"granted": 2, "unchanged": 2, "no_such_user": 1}
    assert (await holders(api, role)).keys() == {users[1].id}
    assert role not in (await api.http.get(JOBS, headers=root.bearer)).text
    job = await run_job(api, root, **body)
    assert (job["total"], job["counts"]) == (5, counts)
    misspelt = await api.http.post(f"{JOBS}?dryrun=true", json=body, headers=root.bearer)
    assert error_of(misspelt) == (422, "validation_error")
    grants_only = await granter(api, root, "roles:read")
    answer = await api.http.post(f"{JOBS}?dry_run=true", json=body, headers=grants_only.bearer)
    assert error_of(answer) == (403, "permission_denied")


async def test_what_cannot_be_asked(api: Api, root: Tokens) -> None:
    (one,) = await crowd(api, 1)
    users = [str(one.id)]
    for body in (
        {"role": "guest"},
        {"role": "guest", "users": []},
        {"role": "guest", "users": users, "filter": {"active": True}},
        {"role": "guest", "users": None},
        {"role": "guest", "users": None, "filter": {"active": True}},
        {"role": "guest", "users": ["x" * 255]},
        {"role": "guest", "users": users, "act": "take"},
        {"role": "guest", "users": users, "act": "revoke", "valid_until": UNTIL},
        {"role": "guest", "users": users, "valid_until": "2001-01-01T00:00:00Z"},
        {"role": "guest", "users": users, "valid_from": UNTIL, "valid_until": UNTIL},
        {"role": "guest", "users": ["n"] * (MOST_NAMES + 1)},
    ):
        assert await refused(api, root, body) == (422, "validation_error"), str(body)[:200]
    assert await refused(api, root, {"role": unique("role"), "users": users}) == (404, "not_found")
    most = [f"{'x' * 38}{number:06}" for number in range(MOST_NAMES)]
    assert await refused(api, root, {"role": unique("role"), "users": most}) == (404, "not_found")
    assert await refused(api, root, {"role": "guest", "users": [f"{name}@x.example" for name in most]}) == (
        *(413, "body_too_large"),
    )
    assert error_of(await api.http.get(f"{JOBS}?cursor=junk", headers=root.bearer))[0] == 422
    job = await start_job(api, root, "guest", users)
    for junk in ("outcome=lost", "cursor=junk", "cursor=_____________________w", "limit=0"):
        response = await api.http.get(f"{JOBS}/{job['id']}/rows?{junk}", headers=root.bearer)
        assert error_of(response) == (422, "validation_error"), junk


async def test_jobs_are_listed_the_newest_first(api: Api, root: Tokens) -> None:
    role = await create_role(api, root)
    jobs = [(await start_job(api, root, role, ["nobody"]))["id"] for _ in range(3)]
    page = (await api.http.get(f"{JOBS}?limit=2", headers=root.bearer)).json()
    rest = (await api.http.get(f"{JOBS}?limit=1&cursor={page['next_cursor']}", headers=root.bearer)).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == jobs[::-1]


# --- who may ---


async def granter(api: Api, root: Tokens, *lacking: str) -> Tokens:
    """Who may do anything that our routes ask for, but for this."""
    account, tokens = await api.as_role()
    await grant(api, root, account.id, await create_role(api, root, *(OWN_CODES - set(lacking))))
    return tokens


async def test_rbac_1_nobody_hands_out_to_many_what_they_lack(api: Api, root: Tokens) -> None:
    role = await create_role(api, root, await create_permission(api, root))
    account, until_friday = await api.as_role()
    (one,) = await crowd(api, 1)
    await grant(api, root, account.id, "admin", valid_until=moment(days=2))
    exceeding = (403, "exceeds_own_permissions")
    assert await refused(api, until_friday, {"role": role, "users": [str(one.id)]}) == exceeding
    assert await refused(api, until_friday, {"role": role, "users": [str(one.id)], "act": "revoke"}) == exceeding
    assert await refused(api, until_friday, {"role": "moderator", "users": [str(one.id)]}) == exceeding
    soon = moment(days=1).isoformat()
    job = await run_job(api, until_friday, "moderator", [one.id], valid_until=soon)
    assert job["counts"] == {"granted": 1}


async def test_rbac_1_a_service_has_the_scopes_of_its_token(api: Api, root: Tokens) -> None:
    code = await create_permission(api, root)
    role = await create_role(api, root, code)
    (one,) = await crowd(api, 1)
    client = await api.create_service(root, ["roles:grant", code])
    whole = Tokens((await api.service_token(*client))["Authorization"].removeprefix("Bearer "), "", "")
    response = await api.http.post(
        f"{V1}/auth/token", auth=client, data={"grant_type": "client_credentials", "scope": "roles:grant"}
    )
    narrow = Tokens(response.json()["access_token"], "", "")
    assert await refused(api, narrow, {"role": role, "users": [str(one.id)]}) == (403, "exceeds_own_permissions")
    job = await finished(api, root, (await start_job(api, whole, role, [one.id]))["id"])
    assert (job["asked_by_kind"], job["asked_by_id"], job["counts"]) == ("service", client[0], {"granted": 1})
    assert await refused(api, whole, {"role": role, "filter": {"active": True}}) == (403, "permission_denied")


async def test_names_and_filters_are_for_who_may_see_them(api: Api, root: Tokens) -> None:
    (one,) = await crowd(api, 1)
    no_addresses, no_users = (
        await granter(api, root, "users:write"),
        await granter(api, root, "users:read", "users:write"),
    )
    denied = (403, "permission_denied")
    for address in (one.email, "nobody@example.com"):
        assert await refused(api, no_addresses, {"role": "guest", "users": [address]}) == denied
    assert await refused(api, no_users, {"role": "guest", "filter": {"search": one.login}}) == denied
    by_address = {"role": "guest", "filter": {"search": one.email, "active": True}}
    found = await api.http.post(JOBS, json=by_address, headers=no_addresses.bearer)
    assert found.json()["total"] == 0  # it looks at logins alone
    job = await run_job(api, root, "guest", [one.email, one.login, "ghost@example.com", unique("ghost")])
    seen = {}
    for who, tokens in (("root", root), ("no addresses", no_addresses), ("no users", no_users)):
        rows = await rows_of(api, tokens, job["id"])
        assert [row["user_id"] for row in rows] == [str(one.id), str(one.id), None, None]
        seen[who] = [(row["name"] is not None, row["login"] is not None) for row in rows]
    assert seen == {
        "root": [(True, True), (True, True), (True, False), (True, False)],
        "no addresses": [(False, True), (True, True), (False, False), (True, False)],
        "no users": [(False, False)] * 4,
    }
    for who, tokens in (("root", root), ("no addresses", no_addresses), ("no users", no_users)):
        lines = read_csv(await download(api, tokens, f"/grants/jobs/{job['id']}/rows"))
        assert [(line["number"], line["outcome"]) for line in lines] == [
            *(("1", "granted"), ("2", "unchanged"), ("3", "no_such_user"), ("4", "no_such_user")),
        ]
        assert [(line["name"] != "", line["login"] != "") for line in lines] == seen[who]
    (line,) = read_csv(await download(api, root, f"/grants/jobs/{job['id']}/rows", outcome="granted"))
    assert (line["name"], line["user_id"], line["login"]) == (one.email, str(one.id), one.login)


async def test_rights_are_judged_again_at_each_batch(api: Api, root: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has lost them half-way grants no more, and the job says what is done."""
    monkeypatch.setattr(grant_work, "BATCH", 50)
    monkeypatch.setattr(grant_work, "REST", 5.0)
    role = await create_role(api, root)
    account, admin = await api.as_role()
    giving = await create_role(api, root, "roles:grant")
    await grant(api, root, account.id, giving)
    users = await crowd(api, 200)
    job = await start_job(api, admin, role, [one.id for one in users])
    await begun(api, root, job["id"])
    assert (await revoke(api, root, account.id, giving)).status_code == 204
    done = (await finished(api, root, job["id"]))["done"]
    job = await read_job(api, root, job["id"])
    assert (job["state"], job["failure_code"]) == ("failed", "permission_denied")
    assert 50 <= done < 200
    assert job["counts"] == {"granted": done}
    assert list(await holders(api, role)) == [one.id for one in users[:done]]
    assert len(await rows_of(api, root, job["id"], outcome="waiting")) == 200 - done


async def test_a_role_that_is_gone_and_an_end_that_has_passed_end_the_job(api: Api, root: Tokens) -> None:
    role, command = await create_role(api, root), Command(api.resources.settings)
    (one,) = await crowd(api, 1)
    gone = await make_job(api.resources, OPERATOR, Wish(Act.GRANT, role), [one.login])
    end = moment(seconds=0.2)
    late = await make_job(api.resources, OPERATOR, Wish(Act.GRANT, "guest", valid_until=end), [one.login])
    assert (await api.http.delete(f"{V1}/roles/{role}", headers=root.bearer)).status_code == 204
    await asyncio.sleep(0.2)
    for job, code in ((gone, "not_found"), (late, "validation_error")):
        assert (await command("roles", "jobs", "resume", str(job.id))).code == 1
        failed = await read_job(api, root, str(job.id))
        assert (failed["state"], failed["failure_code"], failed["done"]) == ("failed", code, 0)


async def test_rbac_2_the_last_superuser_stays_and_the_others_go(fresh: Fresh) -> None:
    api = await fresh.api()
    boss, root = await api.as_role("superuser")
    others = [await api.create_user("superuser") for _ in range(5)]
    some = await crowd(api, 3)
    names = [others[0].id, some[0].id, *(one.id for one in others[1:]), boss.id, some[1].id]
    job = await run_job(api, root, "superuser", names, act="revoke")
    assert job["counts"] == {"revoked": 5, "not_there": 2, "refused": 1}
    (row,) = await rows_of(api, root, job["id"], outcome="refused")
    assert (row["user_id"], row["outcome"]) == (str(boss.id), "refused:last_superuser")
    assert (await holders(api, "superuser")).keys() == {boss.id}
    audit, events = await traces(api, "superuser")
    assert audit == events == [str(one.id) for one in others]
    assert (await Command(api.resources.settings)("audit", "verify")).code == 0


# --- what stays of it ---


async def test_a_cancelled_job_says_exactly_what_it_did(
    api: Api, root: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant_work, "BATCH", 20)
    role = await create_role(api, root)
    users = await crowd(api, 200)
    job = await start_job(api, root, role, [one.id for one in users])
    await begun(api, root, job["id"])
    response = await api.http.post(f"{JOBS}/{job['id']}/cancel", headers=root.bearer)
    cancelled = response.json()
    assert (response.status_code, cancelled["state"]) == (200, "cancelled")
    done = cancelled["done"]
    assert 20 <= done < 200
    assert cancelled["counts"]["granted"] == done == len(await holders(api, role))
    again = await api.http.post(f"{JOBS}/{job['id']}/cancel", headers=root.bearer)
    assert again.json() == cancelled
    assert len(await rows_of(api, root, job["id"], outcome="granted")) == done
    assert [len(part) for part in await traces(api, role)] == [done, done]
    over = await run_job(api, root, role, [users[0].id])
    response = await api.http.post(f"{JOBS}/{over['id']}/cancel", headers=root.bearer)
    assert error_of(response) == (409, "job_finished")


async def test_an_erased_user_leaves_no_name_in_a_job(api: Api, root: Tokens) -> None:
    erased, other = await crowd(api, 2)
    job = await run_job(api, root, "guest", [erased.email, other.email])
    body = {"reason": "asked for it"}
    gone = await api.http.request("DELETE", f"{V1}/admin/users/{erased.id}", json=body, headers=root.bearer)
    assert gone.status_code == 204
    rows = await rows_of(api, root, job["id"])
    assert [(row["name"], row["user_id"]) for row in rows] == [(None, None), (other.email, str(other.id))]
    assert [row["outcome"] for row in rows] == ["granted", "granted"]
    kept = await api.resources.hot.fetch("SELECT t::text AS row FROM grant_job_rows t")
    assert not [row for row in kept if erased.login in row["row"] or str(erased.id) in row["row"]]


async def test_jobs_go_after_thirty_days(api: Api, root: Tokens) -> None:
    old, new = [await start_job(api, root, "guest", ["someone@example.com"]) for _ in range(2)]
    await api.resources.hot.execute(
        "UPDATE grant_jobs SET created_at = created_at - interval '30 days 1 minute' WHERE id = $1", old["id"]
    )
    await tidy(api.resources)
    assert error_of(await api.http.get(f"{JOBS}/{old['id']}", headers=root.bearer)) == (404, "not_found")
    rows = await api.resources.hot.fetch("SELECT job_id FROM grant_job_rows")
    assert old["id"] not in {str(row["job_id"]) for row in rows}
    assert new["id"] in {str(row["job_id"]) for row in rows}

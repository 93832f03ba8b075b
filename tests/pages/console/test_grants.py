"""Grants in the console: found by filters, one at a time with its effect seen, and many at once."""

import asyncio

from tests.pages.console.test_roles import manager, superuser
from tests.support.access import create_role, grant, moment
from tests.support.api import V1, Api

NEW, JOB = "/console/grants/new", "/console/grants/jobs/new"


async def test_a_grant_is_made_and_taken_away_with_its_effect_seen(api: Api) -> None:
    reader, admin = await superuser(api)
    role, holder = await create_role(api, admin, "films:publish"), await api.create_user()
    await reader.open(f"{NEW}?user={holder.login}&role={role}")
    end = moment(days=9)
    page = await reader.fill(NEW, {"valid_until": end.strftime("%Y-%m-%dT%H:%M"), "reason": "<i>order</i>"})
    assert "1 user gains films:publish 1 user" in page.words
    assert f"{holder.login} + gains films:publish until" in page.words
    roles = await api.http.get(f"{V1}/users/{holder.id}/roles", headers=admin.bearer)
    assert role not in {item["role"] for item in roles.json()}
    page = await reader.fill(NEW, {"do": "make"})
    assert page.path == f"/console/grants?user={holder.id}"
    assert "&lt;i&gt;order&lt;/i&gt;" in page.html
    roles = await api.http.get(f"{V1}/users/{holder.id}/roles", headers=admin.bearer)
    (made,) = (item for item in roles.json() if item["role"] == role)
    assert made["valid_until"] == end.replace(second=0, microsecond=0).isoformat().replace("+00:00", "Z")
    page = await reader.open(f"{NEW}?user={holder.id}&role={role}")
    there = page.fields(NEW)
    assert (there["valid_until"], there["reason"]) == (end.strftime("%Y-%m-%dT%H:%M:00"), "<i>order</i>")
    assert there["valid_from"].startswith(made["valid_from"][:19]), "which another end leaves as it was"
    revoke = f"/console/grants/{holder.id}/{role}/revoke"
    page = await reader.open(revoke)
    assert f"Take the role {role} away from {holder.login}" in page.words
    page = await reader.fill(revoke)
    assert "1 user loses films:publish" in page.words
    page = await reader.fill(revoke, {"do": "make"})
    assert "The role is taken away." in page.words
    assert "No grant matches" in (await reader.open(f"/console/grants?user={holder.id}&role={role}")).words


async def test_what_does_not_fit_is_said_beside_the_field(api: Api) -> None:
    reader, admin = await superuser(api)
    role = await create_role(api, admin)
    await reader.open(NEW)
    page = await reader.fill(NEW, {"role": role})
    assert (page.status, page.error("user")) == (422, "Fill this in.")
    assert (await reader.fill(NEW, {"user": "nobody-like-it", "role": role})).error("user") == "Nobody has this name."
    page = await reader.fill(NEW, {"user": "nobody-like-it", "role": "nothing-like-it"})
    assert page.error("role").startswith("There is no role of this name.")
    page = await reader.open("/console/grants?state=gone")
    assert page.status == 422
    page = await reader.open("/console/grants?user=nobody-like-it")
    assert (page.status, page.error("user")) == (422, "Nobody has this name.")


async def test_grants_are_found_page_by_page_and_as_csv(api: Api) -> None:
    reader, admin = await superuser(api)
    role, holders = await create_role(api, admin), [await api.create_user() for _ in range(3)]
    for number, holder in enumerate(holders):
        await grant(api, admin, holder.id, role, valid_until=moment(days=10 + number))
    since = moment(days=10, hours=12).strftime("%Y-%m-%dT%H:%M")
    page = await reader.open(f"/console/grants?role={role}&ends_since={since}&state=&limit=1")
    assert [holder.login in page.words for holder in holders] == [False, True, False]
    onward = page.html.split('rel="next"')[0].rpartition('href="')[2].split('"')[0].replace("&amp;", "&")
    page = await reader.open(f"/console/grants{onward}")
    assert [holder.login in page.words for holder in holders] == [False, False, True]
    by_api = await api.http.get(f"{V1}/grants?role={role}&format=csv", headers=admin.bearer)
    assert (await reader.open(f"/console/grants?role={role}&format=csv")).answer.content == by_api.content


async def test_a_job_is_foreseen_begun_and_watched(api: Api) -> None:
    reader, admin = await superuser(api)
    role, holders = await create_role(api, admin), [await api.create_user() for _ in range(3)]
    await grant(api, admin, holders[0].id, role)
    await reader.open(JOB)
    names = "\r\n".join([*(holder.login for holder in holders), "nobody-like-it"])
    page = await reader.fill(JOB, {"role": role, "names": names})
    assert "granted 2 users" in page.words
    assert "1 name that nobody has nobody-like-it" in page.words
    page = await reader.fill(JOB, {"do": "edit"})
    assert page.fields(JOB)["names"].split() == names.split()
    await reader.fill(JOB)
    page = await reader.fill(JOB, {"do": "make"})
    assert page.path.startswith("/console/grants/jobs/")
    for _ in range(100):
        page = await reader.open(page.path)
        if 'http-equiv="refresh"' not in page.html:
            break
        await asyncio.sleep(0.1)
    assert "done 4 of 4 rows" in page.words
    assert "no such user 1 user" in page.words
    assert "1. " + holders[0].login in page.words
    page = await reader.open(f"{page.path}?outcome=no_such_user")
    assert "4. nobody-like-it no such user" in page.words
    assert "Cancel the job" not in page.words
    answer = await reader.ask(
        "POST", page.path.split("?")[0], {"csrf": (await reader.open(NEW)).hidden("csrf")}, {"Origin": reader.origin}
    )
    assert (answer.status_code, "This job has finished" in answer.text) == (409, True)
    found = await api.http.get(f"{V1}/grants?role={role}", headers=admin.bearer)
    assert len(found.json()["items"]) == 3


async def test_a_job_by_filter_says_whom_it_finds_and_needs_one_of_the_two(api: Api) -> None:
    reader, admin = await superuser(api)
    role, other, holder = await create_role(api, admin), await create_role(api, admin), await api.create_user()
    await grant(api, admin, holder.id, other)
    await reader.open(JOB)
    page = await reader.fill(JOB, {"role": role})
    assert page.status == 422
    assert "Give names, or say who matches: one of the two." in page.words
    assert "granted 1 user" in (await reader.fill(JOB, {"role": role, "having": other})).words


async def test_rbac_1_nobody_hands_out_what_they_lack(api: Api) -> None:
    _, admin = await superuser(api)
    holder = await api.create_user("admin")
    reader = await manager(api, admin)
    page = await reader.open(NEW)
    assert 'value="guest"' in page.html
    assert 'value="admin"' not in page.html
    page = await reader.fill(NEW, {"user": holder.login, "role": "superuser", "do": "make"})
    assert page.status == 403
    assert "You can only manage what you hold yourself" in page.words
    page = await reader.open(f"/console/grants?user={holder.id}&role=admin")
    assert "Take away" not in page.words
    await reader.open(f"/console/grants/{holder.id}/admin/revoke")
    page = await reader.fill(f"/console/grants/{holder.id}/admin/revoke")
    assert page.status == 403
    assert "You can only manage what you hold yourself" in page.words

"""Permissions in the console: the catalogue, who has what and when, and the mark for step-up."""

from tests.pages.console.test_roles import manager, superuser
from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Api, unique


async def test_a_permission_is_added_marked_and_deleted_with_its_effect_seen(api: Api) -> None:
    reader, admin = await superuser(api)
    code, new = f"{unique('popcorn')}:sell", "/console/permissions/_new"
    await reader.open(new)
    assert (await reader.fill(new, {"code": "popcorn", "title": "x"})).status == 422
    await reader.fill(new, {"code": code, "title": "Sell <b>popcorn</b>"})
    page = await reader.fill(new, {"do": "make"})
    assert page.path == f"/console/permissions/{code}"
    assert "Sell &lt;b&gt;popcorn" in page.html
    role, holder = await create_role(api, admin, code), await api.create_user()
    await grant(api, admin, holder.id, role)
    edit, delete = f"/console/permissions/{code}/edit", f"/console/permissions/{code}/delete"
    await reader.open(edit)
    page = await reader.fill(edit, {"step_up": "on"})
    assert f"{code} will ask for a code of the second factor." in page.words
    by_api = await api.http.patch(f"{V1}/permissions/{code}?dry_run=true", json={"step_up": True}, headers=admin.bearer)
    (mark,) = by_api.json()["step_up"]
    assert f"{mark['users']} users have it; {mark['without_second_factor']} of them without" in page.words
    assert "no → yes" in page.words
    await reader.fill(edit, {"do": "make"})
    assert (await api.http.get(f"{V1}/permissions/{code}", headers=admin.bearer)).json()["step_up"] is True
    await reader.open(delete)
    page = await reader.fill(delete)
    assert page.status == 409
    assert "A role or a service names this permission." in page.words
    none = {"permissions": []}
    assert (await api.http.patch(f"{V1}/roles/{role}", json=none, headers=admin.bearer)).status_code == 200
    await reader.open(delete)
    assert f"What deleting {code} would do" in (await reader.fill(delete)).words
    assert (await reader.fill(delete, {"do": "make"})).path == "/console/permissions"
    assert (await api.http.get(f"{V1}/permissions/{code}", headers=admin.bearer)).status_code == 404


async def test_who_has_it_now_and_at_a_moment_by_page_and_as_csv(api: Api) -> None:
    reader, admin = await superuser(api)
    code = await create_permission(api, admin)
    role = await create_role(api, admin, code)
    now, later = await api.create_user(), await api.create_user()
    await grant(api, admin, now.id, role)
    await grant(api, admin, later.id, role, valid_from=moment(days=2))
    path = f"/console/permissions/{code}/people"
    page = await reader.open(f"{path}?role={role}")
    assert (now.login in page.words, later.login in page.words) == (True, False)
    coming = moment(days=3).strftime("%Y-%m-%dT%H:%M")
    page = await reader.open(f"{path}?role={role}&at={coming}&limit=1")
    assert (now.login in page.words, later.login in page.words) == (True, False)
    onward = page.html.split('rel="next"')[0].rpartition('href="')[2].split('"')[0].replace("&amp;", "&")
    assert f"at={coming.replace(':', '%3A')}" in onward, "the next page has the filters too"
    assert later.login in (await reader.open(path + onward)).words
    page = await reader.open(f"{path}?role={role}&format=csv")
    assert page.answer.headers["content-type"].startswith("text/csv")
    by_api = await api.http.get(f"{V1}/permissions/{code}/users?role={role}&format=csv", headers=admin.bearer)
    assert page.answer.content == by_api.content
    assert (await reader.open(f"{path}?at=yesterday")).status == 422


async def test_rbac_1_the_mark_is_for_those_who_hold_the_permission(api: Api) -> None:
    _, admin = await superuser(api)
    code = await create_permission(api, admin)
    reader = await manager(api, admin, "permissions:write")
    edit = f"/console/permissions/{code}/edit"
    page = await reader.open(edit)
    assert 'name="step_up"' not in page.html
    page = await reader.fill(edit, {"step_up": "on", "do": "make"})
    assert page.status == 403
    assert "You can only manage what you hold yourself" in page.words
    assert "Delete" not in (await reader.open(f"/console/permissions/{code}")).words

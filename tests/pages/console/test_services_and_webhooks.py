"""Services and webhooks in the console: a secret is shown once, and what one lacks is not handed out."""

import re

from tests.pages.console.test_roles import manager, offered, superuser
from tests.support.api import V1, Api, unique

NEW, HOOK = "/console/services/new", "/console/webhooks/new"


def secret_of(html: str) -> str:
    (found,) = re.findall(r'<code class="copied">([^<]+)</code>', html)
    return str(found)


async def test_a_service_is_made_given_another_secret_and_deleted(api: Api) -> None:
    reader, _ = await superuser(api)
    name = unique("kiosk")
    await reader.open(NEW)
    page = await reader.fill(NEW, {"name": name, "description": "<b>hall</b>", "scope.films:read": "on"})
    first = secret_of(page.html)
    assert page.answer.headers["cache-control"] == "no-store"
    page = await reader.open(f"/console/services?search={name}")
    (path,) = re.findall(r'href="(/console/services/[0-9a-f-]{36})"', page.html)
    page = await reader.open(path)
    assert first not in page.html
    assert "&lt;b&gt;hall" in page.html
    assert "films:read" in page.words
    second = secret_of((await reader.fill(path)).html)
    client_id = path.rpartition("/")[2]
    for secret in (first, second):
        await api.service_token(client_id, secret)
    assert (await reader.open(path)).html.count(second) == 0
    assert (await reader.fill(path, {"expires_at": "2001-01-01T00:00"})).status == 422
    await reader.open(f"{path}/delete")
    assert (await reader.fill(f"{path}/delete")).path == "/console/services"
    assert (await reader.open(path)).status == 404


async def test_rbac_1_scopes_that_one_lacks_are_neither_offered_nor_given(api: Api) -> None:
    _, admin = await superuser(api)
    client_id, _ = await api.create_service(admin, ["users:write"])
    reader = await manager(api, admin, "services:*")
    page = await reader.open(NEW)
    assert "roles:read" in offered(page, "scope")
    assert "users:write" not in offered(page, "scope")
    page = await reader.fill(NEW, {"name": unique("kiosk"), "scope.users:write": "on"})
    assert page.status == 403
    assert "You can only manage what you hold yourself" in page.words
    page = await reader.open(f"/console/services/{client_id}")
    assert "Make a secret" not in page.words
    await reader.open(f"/console/services/{client_id}/delete")
    assert (await reader.fill(f"/console/services/{client_id}/delete")).status == 403


async def test_a_webhook_is_made_changed_tried_rotated_and_deleted(api: Api) -> None:
    reader, admin = await superuser(api)
    await reader.open(HOOK)
    assert (await reader.fill(HOOK, {"url": "nowhere"})).status == 422
    page = await reader.fill(HOOK, {"url": "https://hooks.example/hook", "kind.role_granted": "on"})
    secret = secret_of(page.html)
    assert secret.startswith("whsec_")
    (path,) = re.findall(r'class="button" href="(/console/webhooks/[0-9a-f-]{36})"', page.html)
    page = await reader.open(path)
    assert secret not in page.html
    assert "role_granted" in page.words
    other = secret_of((await reader.fill(f"{path}/do/rotate")).html)
    assert other != secret
    await reader.open(f"{path}/edit")
    page = await reader.fill(f"{path}/edit", {"description": "<b>night</b>"}, without=("enabled",))
    assert "&lt;b&gt;night" in page.html
    assert "turned off by an administrator" in page.words
    webhook = (await api.http.get(f"{V1}/admin/webhooks/{path.rpartition('/')[2]}", headers=admin.bearer)).json()
    assert (webhook["enabled"], webhook["kinds"]) == (False, ["role_granted"])
    await reader.open(f"{path}/delete")
    assert (await reader.fill(f"{path}/delete")).path == "/console/webhooks"
    assert (await reader.open(path)).status == 404

"""Pages of roles, permissions, grants, services and webhooks: in order in both languages, hostile texts harmless."""

import re

import pytest

from tests.pages.console.test_roles import superuser
from tests.support.api import V1, Api, unique
from tests.support.page_order import in_order

HOSTILE = "\u202e'><script>alert(2)</script>" + "W" * 150
PAGES = (
    *("/console/roles", "/console/roles?search=nothing-like-it", "/console/roles/{role}", "/console/roles/{role}/edit"),
    *("/console/roles/_new", "/console/permissions", "/console/permissions?search=nothing-like-it"),
    *("/console/permissions/{code}", "/console/permissions/{code}/edit", "/console/permissions/_new"),
    *("/console/permissions/films:read/people", "/console/permissions/{code}/people?role={role}"),
    *("/console/grants?role={role}", "/console/grants?user={user}&state=ended", "/console/grants/new?role={role}"),
    *("/console/grants/{user}/{role}/revoke", "/console/grants/jobs", "/console/grants/jobs/new", "/console/services"),
    *("/console/services/{service}", "/console/services/{service}/delete", "/console/services/new"),
    *("/console/webhooks", "/console/webhooks/{webhook}", "/console/webhooks/new"),
    "/console/webhooks/{webhook}/delete",
)


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_each_page_is_in_order_and_shows_hostile_texts_as_they_are(api: Api, language: str) -> None:
    reader, admin = await superuser(api, language)
    names = {"role": unique("role"), "code": f"{unique('thing')}:use", "user": str((await api.create_user()).id)}
    made = {}
    for path, body in (
        ("/permissions", {"code": names["code"], "title": HOSTILE, "description": HOSTILE}),
        ("/roles", {"name": names["role"], "title": HOSTILE, "description": HOSTILE, "permissions": [names["code"]]}),
        ("/services", {"name": unique("service"), "description": HOSTILE, "scopes": [names["code"]]}),
        ("/admin/webhooks", {"url": "https://hooks.example/hook", "description": HOSTILE}),
    ):
        answer = await api.http.post(f"{V1}{path}", json=body, headers=admin.bearer)
        assert answer.status_code == 201, answer.text
        made[path] = answer.json().get("id")
    reason = {"reason": HOSTILE}
    granted = f"{V1}/users/{names['user']}/roles/{names['role']}"
    assert (await api.http.put(granted, json=reason, headers=admin.bearer)).status_code == 200
    names |= {"service": made["/services"], "webhook": made["/admin/webhooks"]}
    shown = 0
    for path in (path.format(**names) for path in PAGES):
        page = await reader.open(path)
        assert page.path == path
        in_order(page, language, names=True)
        assert "<script>alert" not in page.html
        found = re.findall(r"(<\w+)[^<>]*>\u202e&#39;&gt;&lt;script&gt;", page.html)
        # The picture has no bdi; its own stylesheet keeps each of its texts apart.
        assert set(found) <= {"<bdi", "<text", "<title", "<option", "<h1"}, path
        shown += len(found)
    assert shown >= 15
    page = await reader.open(f"/console/webhooks/{names['webhook']}/edit")  # its field has an address of another host
    assert (page.status, "<script>alert" in page.html) == (200, False)

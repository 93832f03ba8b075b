"""Each page of the console for each kind of reader: what the API's permissions say, in a browser."""

from urllib.parse import quote

import pytest

from auth_service.pages.console.acts import ACTS
from tests.support.api import V1, Api
from tests.support.reader import Reader, newest_row, signed_in

KINDS = ("viewer", "moderator", "content-manager", "admin", "superuser")
# Status for each of KINDS; `{user}` is somebody's id, `{row}` that of a grant to them in the trail. Who is not signed
# in is led to the sign-in.
PAGES = {
    "/console": (403, 200, 403, 200, 200),
    "/console/nothing": (404, 404, 404, 404, 404),
    "/console/confirm": (200, 200, 200, 200, 200),
    "/console/users": (403, 200, 403, 200, 200),
    "/console/users?search=nobody&active=false&mfa=true&role=viewer": (403, 200, 403, 200, 200),
    "/console/users/new": (403, 403, 403, 200, 200),
    "/console/users/{user}": (403, 200, 403, 200, 200),
    "/console/users/{user}?permission=films:watch": (403, 403, 403, 200, 200),
    "/console/users/{user}/edit": (403, 403, 403, 200, 200),
    "/console/users/{user}/sessions": (403, 403, 403, 200, 200),
    "/console/users/{user}/history": (403, 403, 403, 200, 200),
    "/console/users/{user}/grant?role=subscriber": (403, 403, 403, 200, 200),
    "/console/users/{user}/roles/viewer": (403, 403, 403, 200, 200),
    "/console/audit": (403, 403, 403, 200, 200),
    "/console/audit?action=role.*&since=2026-01-01T00:00": (403, 403, 403, 200, 200),
    "/console/audit/{row}": (403, 403, 403, 200, 200),
    "/console/audit/{row}/people": (403, 403, 403, 200, 200),
    "/console/sign-ins": (403, 403, 403, 200, 200),
    "/console/health": (403, 403, 403, 200, 200),
    "/console/roles": (403, 403, 403, 200, 200),
    "/console/roles?search=view": (403, 403, 403, 200, 200),
    "/console/roles/viewer": (403, 403, 403, 200, 200),
    "/console/roles/_new": (403, 403, 403, 200, 200),
    "/console/roles/viewer/edit": (403, 403, 403, 200, 200),
    "/console/permissions": (403, 403, 403, 200, 200),
    "/console/permissions/films:watch": (403, 403, 403, 200, 200),
    "/console/permissions/films:watch/people?role=viewer": (403, 403, 403, 200, 200),
    "/console/permissions/_new": (403, 403, 403, 200, 200),
    "/console/permissions/films:watch/edit": (403, 403, 403, 200, 200),
    "/console/grants": (403, 403, 403, 200, 200),
    "/console/grants?state=active&role=viewer": (403, 403, 403, 200, 200),
    "/console/grants/new?role=viewer": (403, 403, 403, 200, 200),
    "/console/grants/{user}/subscriber/revoke": (403, 403, 403, 200, 200),
    "/console/grants/jobs": (403, 403, 403, 200, 200),
    "/console/grants/jobs/new": (403, 403, 403, 200, 200),
    "/console/services": (403, 403, 403, 200, 200),
    "/console/services/new": (403, 403, 403, 200, 200),
    "/console/webhooks": (403, 403, 403, 200, 200),
    "/console/webhooks/new": (403, 403, 403, 200, 200),
    "/console/roles/superuser/edit": (403, 403, 403, 409, 409),
    "/console/roles/viewer/delete": (403, 403, 403, 200, 200),
    "/console/permissions/films:watch/delete": (403, 403, 403, 200, 200),
    **dict.fromkeys((f"/console/users/{{user}}/{act.name}" for act in ACTS), (403, 403, 403, 200, 200)),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_is_there_for_those_who_may_read_it(api: Api, kind: str) -> None:
    somebody = await api.create_user()
    _, admin = await api.as_role("admin")
    await api.http.put(f"{V1}/users/{somebody.id}/roles/subscriber", headers=admin.bearer)
    row = await newest_row(api, somebody, admin)
    _, reader = await signed_in(api, kind)
    pages = {path: await reader.open(path.format(user=somebody.id, row=row)) for path in PAGES}
    found = {path: page.status for path, page in pages.items()}
    assert found == {path: statuses[KINDS.index(kind)] for path, statuses in PAGES.items()}
    refusals = {'href="/console"' in page.html for page in pages.values() if page.status == 403}
    assert refusals <= {found["/console"] == 200}, "who has no console is not sent there"


async def test_who_is_not_signed_in_comes_back_after_it(api: Api) -> None:
    somebody, guest = await api.create_user(), Reader(api)
    for path in (path.format(user=somebody.id, row=1) for path in PAGES):
        assert (await guest.open(path)).path == f"/account/sign-in?next={quote(path)}"

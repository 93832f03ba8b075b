"""Two admins at one role or permission: who changes what the other has changed meanwhile is told (If-Match)."""

import asyncio

import httpx
import pytest

from auth_service.core.versions import PreconditionFailed, must_match, version_of
from tests.support.access import create_permission, create_role
from tests.support.api import V1, Api, Tokens, error_of

OLDER = version_of("older")
LOST = (412, "precondition_failed")


class Thing:
    """A role or a permission."""

    def __init__(self, api: Api, admin: Tokens, path: str) -> None:
        self.api, self.admin, self.path = api, admin, path

    async def ask(self, method: str, if_match: str | None = None, query: str = "", **body: object) -> httpx.Response:
        headers = self.admin.bearer if if_match is None else {**self.admin.bearer, "If-Match": if_match}
        return await self.api.http.request(method, f"{V1}{self.path}{query}", json=body or None, headers=headers)

    async def version(self) -> str:
        return str((await self.ask("GET")).headers["ETag"])


@pytest.fixture(params=["role", "permission"])
async def thing(request: pytest.FixtureRequest, api: Api) -> Thing:
    _, admin = await api.as_role("superuser")
    name = await (create_role if request.param == "role" else create_permission)(api, admin)
    return Thing(api, admin, f"/{request.param}s/{name}")


async def test_a_change_of_another_version_is_refused(thing: Thing) -> None:
    seen = await thing.version()
    assert await thing.version() == seen
    mine = await thing.ask("PATCH", seen, title="Mine")
    assert mine.status_code == 200
    assert mine.headers["ETag"] == await thing.version() != seen
    for query in ("", "?dry_run=true"):
        assert error_of(await thing.ask("PATCH", seen, query, title="Theirs")) == LOST
        assert error_of(await thing.ask("DELETE", seen, query)) == LOST
    assert (await thing.ask("GET")).json()["title"] == "Mine"
    assert (await thing.ask("PATCH", mine.headers["ETag"], "?dry_run=true", title="x")).status_code == 200
    assert (await thing.ask("PATCH", "*", title="Any")).status_code == 200
    assert (await thing.ask("PATCH", title="Without")).status_code == 200
    assert (await thing.ask("DELETE", f"{OLDER}, {await thing.version()}")).status_code == 204


async def test_of_many_with_one_version_one_wins(thing: Thing) -> None:
    seen = await thing.version()
    answers = await asyncio.gather(*(thing.ask("PATCH", seen, title=f"Of {number}") for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 5]
    (won,) = (answer for answer in answers if answer.status_code == 200)
    assert (await thing.ask("GET")).json() == won.json()


async def test_what_is_made_has_its_version_at_once(api: Api) -> None:
    _, admin = await api.as_role("superuser")
    for path, body in (
        ("/roles", {"name": "versioned-role", "title": "x", "permissions": ["films:watch", "films:read"]}),
        ("/permissions", {"code": "versioned:thing", "title": "x"}),
    ):
        made = await api.http.post(f"{V1}{path}", json=body, headers=admin.bearer)
        thing = Thing(api, admin, f"{path}/{body.get('name') or body['code']}")
        assert made.headers["ETag"] == await thing.version()
        assert (await thing.ask("DELETE", made.headers["ETag"])).status_code == 204


@pytest.mark.parametrize("wrong", ["", "W/" + version_of("x"), version_of("x").strip('"'), OLDER, '"a", "b"', "**"])
def test_what_names_no_version_of_ours_matches_none(wrong: str) -> None:
    with pytest.raises(PreconditionFailed):
        must_match(wrong, version_of("x"))

"""What a change would do: refused as the change itself, told to who may see it, and nothing of it is left."""

from typing import Any

import httpx

from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Api, Tokens


async def send(api: Api, actor: Tokens, method: str, path: str, body: Any = None, **query: str) -> httpx.Response:
    return await api.http.request(method, f"{V1}{path}", json=body, headers=actor.bearer, params=query)


async def tried(api: Api, actor: Tokens, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
    response = await send(api, actor, method, path, body, dry_run="true", **query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_smoke(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    role = await create_role(api, root)
    a, b = await api.create_user(), await api.create_user()
    await grant(api, root, a.id, role, valid_until=moment(days=1))
    print(await tried(api, root, "PATCH", f"/roles/{role}", {"permissions": [code]}))
    print(await tried(api, root, "PUT", f"/users/{b.id}/roles/{role}", {}))
    print(await tried(api, root, "POST", "/permissions", {"code": "new:thing", "title": "x", "step_up": True}))
    print(await tried(api, root, "POST", "/roles", {"name": "newrole", "title": "x", "permissions": [code]}))
    print(await tried(api, root, "DELETE", f"/permissions/{await create_permission(api, root)}"))
    print(await tried(api, root, "DELETE", f"/users/{a.id}/roles/viewer"))
    print(await tried(api, root, "PATCH", f"/permissions/{code}", {"step_up": True}))

"""People, permissions and a PEP for the tests of AuthZEN, which speak of them by the names of its documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.access import create_permission, create_role, grant
from tests.support.api import Account, Api, Tokens, unique

ACCESS = "/access/v1"


@dataclass(frozen=True)
class World:
    """`types` and `people`: what the documents call somebody or something, and what it is called here, where other
    tests have theirs too. `pep`: the Authorization header of a service that may ask.
    """

    api: Api
    root: Tokens
    pep: dict[str, str]
    types: Mapping[str, str]
    people: Mapping[str, Account]

    async def ask(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.api.http.post(f"{ACCESS}/{path}", json=body, headers=self.pep | headers)

    async def decision(self, path: str, body: Any) -> Any:
        """Of the body in our names: one decision, or one for each item."""
        response = await self.ask(path, self.ours(body))
        assert response.status_code == 200, response.text
        answer = response.json()
        if "evaluations" in answer:
            return [item["decision"] for item in answer["evaluations"]]
        return answer["decision"]

    def ours(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The same request, by logins and by names that a permission can have: lower case, and no underscore."""
        found = dict(body)
        if isinstance(subject := found.get("subject"), dict):
            found["subject"] = {**subject, **self._subject(subject)}
        if isinstance(action := found.get("action"), dict) and isinstance(name := action.get("name"), str):
            found["action"] = {**action, "name": name.lower().replace("_", "-")}
        if isinstance(resource := found.get("resource"), dict) and "type" in resource:
            found["resource"] = {**resource, "type": self.types.get(resource["type"], resource["type"])}
        if isinstance(items := found.get("evaluations"), list):
            found["evaluations"] = [self.ours(item) if isinstance(item, dict) else item for item in items]
        return found

    def _subject(self, subject: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        if subject.get("type") == "identity":  # the word of the gateways for a user
            found["type"] = "user"
        if (person := self.people.get(subject.get("id", ""))) is not None:
            found["id"] = person.login
        return found


async def world_of(api: Api, things: Mapping[str, Sequence[str]], people: Mapping[str, Sequence[str]]) -> World:
    """`things`: actions by type; `people`: what each may do, such as `record:read` or `record:*`."""
    _, root = await api.as_role("superuser")
    types = {name: unique(name) for name in things}
    for name, actions in things.items():
        for action in actions:
            await create_permission(api, root, resource=types[name], action=action)
    accounts = {}
    for person, codes in people.items():
        accounts[person] = await api.create_user()
        if codes:
            own = [f"{types[name]}:{action}" for name, _, action in (code.partition(":") for code in codes)]
            await grant(api, root, accounts[person].id, await create_role(api, root, *own))
    pep = await api.service_token(*await api.create_service(root))
    return World(api, root, pep, types, accounts)

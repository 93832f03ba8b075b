"""Users whose right to one thing changes under the eyes of clients, and what a client may say of each at any moment."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import httpx
from auth_service_client import AuthClient

from tests.support.access import create_permission, create_role, grant
from tests.support.api import V1, Api
from tests.support.local_clients.client import boot_seconds

USERS, CHANGING = 40, 4


@dataclass
class Cast:
    """Users, some of whom have the role for good, some never, and some now and then."""

    code: str
    role: str
    users: list[UUID]
    admin: dict[str, str]
    account: dict[str, str]
    # Of each user: since when it may be so or not, by boot_seconds, and until when.
    truths: dict[UUID, list[tuple[bool, float, float]]] = field(default_factory=dict)

    def may_be(self, user: UUID, begin: float, end: float) -> set[bool]:
        return {allowed for allowed, since, until in self.truths[user] if since <= end and until >= begin}


@dataclass
class Seen:
    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
        return (
            f"{self.answers:,} answers while {self.changes} changes were made; {len(self.wrong)} wrong, errors"
            f" {dict(self.errors)}; p50 {p50:.2f} ms, p99 {p99:.1f} ms, longest {ordered[-1] * 1000:.0f} ms"
        )


async def cast(api: Api, users: int = USERS) -> Cast:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    role = await create_role(api, root, code)
    members = [(await api.create_user()).id for _ in range(users)]
    body = {"name": "player", "scopes": ["permissions:check", "changes:read"]}
    made = (await api.http.post(f"{V1}/services", json=body, headers=root.bearer)).json()
    found = Cast(code, role, members, root.bearer, {name: made[name] for name in ("client_id", "client_secret")})
    for number, user in enumerate(members):
        has = number % 2 == 0
        if has:
            await grant(api, root, user, role)
        found.truths[user] = [(has, 0.0, float("inf"))]
    return found


async def change(url: str, cast: Cast, seen: Seen, pause: float = 0.1) -> None:
    """Of the first users, without an end: each has the role, and then has it not."""
    async with httpx.AsyncClient(base_url=url, headers=cast.admin, timeout=30, trust_env=False) as http:
        while True:
            for user in cast.users[:CHANGING]:
                had = cast.truths[user][-1][0]
                begun = boot_seconds()
                cast.truths[user].append((not had, begun, float("inf")))
                path = f"{V1}/users/{user}/roles/{cast.role}"
                answer = await (http.delete(path) if had else http.put(path, json={}))
                assert answer.is_success, answer.text
                allowed, since, _ = cast.truths[user][-2]
                cast.truths[user][-2] = (allowed, since, boot_seconds())
                seen.changes += 1
                await asyncio.sleep(pause)


async def ask(client: AuthClient, cast: Cast, seen: Seen, bound: float) -> None:
    user = random.choice(cast.users)
    asked = boot_seconds()
    try:
        allowed = bool(await client.check(user, cast.code))
    except Exception as error:  # noqa: BLE001  whatever it is, a caller would have met it
        seen.errors[repr(error)] += 1
        return
    answered = boot_seconds()
    seen.answers += 1
    seen.seconds.append(answered - asked)
    if allowed not in cast.may_be(user, asked - bound, answered):
        seen.wrong.append(f"{allowed} of {user}, {answered - asked:.3f} s: {cast.truths[user][-3:]}")

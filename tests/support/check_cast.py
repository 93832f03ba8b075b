"""Callers and users for whom a check has every answer that there is, and one question asked on two ways."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Api
from tests.support.forgery import forged
from tests.support.hostile import ODD_TEXTS

CHECK, BATCH, VERIFY = "/permissions/check", "/permissions/check/batch", "/auth/verify"
# The ordinary route is asked by a cookie that nobody reads.
ORDINARY = {"cookie": "theme=dark"}
JSON = {"content-type": "application/json"}


@dataclass
class Cast:
    """`callers`: an Authorization header each; `codes` and `users`: what may be asked about."""

    api: Api
    callers: dict[str, str]
    codes: list[str]
    users: list[str]


async def cast_of(api: Api) -> Cast:
    _, root = await api.as_role("superuser")
    granted, ended, marked = [await create_permission(api, root) for _ in range(3)]
    body = {"step_up": True}
    assert (await api.http.patch(f"{V1}/permissions/{marked}", json=body, headers=root.bearer)).status_code == 200
    role, old = await create_role(api, root, granted, marked), await create_role(api, root, ended)
    holder, holding = await api.as_role()
    await grant(api, root, holder.id, role, valid_until=moment(days=1))
    await grant(api, root, holder.id, old, valid_from=moment(days=-2), valid_until=moment(days=-1))
    other, away = await api.as_role()
    assert (await api.http.post(f"{V1}/auth/logout", headers=away.bearer)).status_code == 204
    service = await api.service_token(*await api.create_service(root))
    poor = await api.service_token(*await api.create_service(root, ["roles:read"]))
    callers = {
        "holder": f"Bearer {holding.access}",
        "root": f"Bearer {root.access}",
        "service": service["Authorization"],
        "poor service": poor["Authorization"],
        "logged out": f"Bearer {away.access}",
        "forged": f"Bearer {holding.access[:-8]}AAAAAAAA",
        "expired": f"Bearer {forged(api, holding, iat=1, exp=600)}",
        "junk": "Bearer junk",
        "basic": "Basic dXNlcjpwYXNz",
        "lower": f"bearer {holding.access}",
        "spaces": f"Bearer  {holding.access}",
        "none": "",
    }
    codes = [granted, ended, marked, "films:watch", "no-such:thing", "permissions:check", "users:write"]
    return Cast(api, callers, codes, [str(holder.id), str(other.id), str(uuid4())])


async def both(
    cast: Cast, caller: str, method: str, path: str, body: bytes | None = None, *, times: int = 1
) -> httpx.Response:
    """The answer, which is the same on the quick way, each of the `times`, and on the ordinary one."""
    given = cast.callers[caller]
    headers = {"x-request-id": "of-a-comparison", **({"authorization": given} if given else {})}
    if body is not None:
        headers |= JSON
    ways = [headers] * times + [headers | ORDINARY]
    url = path if path.startswith("/access/") else f"{V1}{path}"
    answers = [await cast.api.http.request(method, url, content=body, headers=way) for way in ways]
    ordinary = answers[-1]
    for quick in answers[:-1]:
        assert quick.status_code == ordinary.status_code
        assert quick.headers.raw == ordinary.headers.raw
        assert quick.content == ordinary.content
    return ordinary


TEXTS = some.sampled_from([*ODD_TEXTS, "films:watch", "films:*", "*", "", "a" * 128, "a" * 129, "FILMS:Watch"])
IDS = some.sampled_from(["holder", "HOLDER", "{holder}", "urn:uuid:holder", "holder with no dashes", "junk", ""])
WRONG = some.sampled_from([None, True, False, 0, 1, 1.5, [], {}, "true", ["films:watch"], {"a": 1}])
FIELDS = some.fixed_dictionaries(
    {},
    optional={
        "permission": some.one_of(TEXTS, WRONG),
        "user_id": some.one_of(IDS, WRONG),
        "session_id": some.one_of(IDS, WRONG),
        "explain": some.one_of(some.booleans(), WRONG),
        "more": WRONG,
    },
)


def spelt(cast: Cast, value: Any) -> Any:
    """With the id of the holder, in the spelling that was drawn."""
    if isinstance(value, dict):
        return {name: spelt(cast, item) for name, item in value.items()}
    if value == "HOLDER":
        return cast.users[0].upper()
    if value == "holder with no dashes":
        return cast.users[0].replace("-", "")
    return value.replace("holder", cast.users[0]) if isinstance(value, str) else value


QUERIES = ["?", "?permission", "?permission=", "?permission=a%20b", "?permission=%00", "?permission=a;b", "?other=1"]
QUERIES += ["?permission=films:watch&x=1", "?permission=%D0%B0:b", "?permission=a+b", f"?permission={'a' * 129}"]
QUERIES += [f"?permission=a:b{'&permission=a:b' * more}" for more in (9, 10)]


async def statuses_of_all(cast: Cast, *, times: int = 1) -> set[int]:
    """Of every caller's question about everybody, by each code, and at the forward authentication."""
    seen = set()
    for caller in cast.callers:
        for user in [None, *cast.users]:
            for code in cast.codes:
                body = {"permission": code, **({} if user is None else {"user_id": user})}
                seen.add((await both(cast, caller, "POST", CHECK, orjson.dumps(body), times=times)).status_code)
        for query in ("", f"?permission={cast.codes[0]}", "?permission=films%3Awatch&permission=users:write"):
            seen.add((await both(cast, caller, "GET", f"{VERIFY}{query}", times=times)).status_code)
    return seen


def drawn_bodies(examples: int) -> list[Any]:
    """Of checks and batches, right and wrong in many ways."""
    bodies: list[Any] = []

    @settings(max_examples=examples, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(some.one_of(FIELDS, some.fixed_dictionaries({"checks": some.lists(FIELDS, max_size=3)}), WRONG))
    def draw(body: Any) -> None:
        bodies.append(body)

    draw()
    return bodies

"""The fast path answers as the ordinary route does, to the byte, whoever asks and whatever is sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from auth_service.permissions import fastpath
from auth_service.permissions.step_up import FRESH
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Api
from tests.support.forgery import forged
from tests.support.hostile import ODD_TEXTS
from tests.support.viewer import STEP, Viewer, Watch, enrol

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


async def both(cast: Cast, caller: str, method: str, path: str, body: bytes | None = None) -> httpx.Response:
    """The answer, which is the same on both ways."""
    given = cast.callers[caller]
    headers = {"x-request-id": "of-a-comparison", **({"authorization": given} if given else {})}
    if body is not None:
        headers |= JSON
    quick = await cast.api.http.request(method, f"{V1}{path}", content=body, headers=headers)
    ordinary = await cast.api.http.request(method, f"{V1}{path}", content=body, headers=headers | ORDINARY)
    assert quick.status_code == ordinary.status_code
    assert quick.headers.raw == ordinary.headers.raw
    assert quick.content == ordinary.content
    return quick


@pytest.fixture
async def cast(api: Api) -> Cast:
    return await cast_of(api)


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The routes that the fast path has answered, in their order."""
    answered: list[str] = []
    answer = fastpath.FastPath._answer

    async def noted(self: Any, route: Any, *more: Any) -> Any:
        answered.append(route.path)
        return await answer(self, route, *more)

    monkeypatch.setattr(fastpath.FastPath, "_answer", noted)
    return answered


async def test_chk_1_every_caller_is_answered_as_ever(cast: Cast, handled: list[str]) -> None:
    seen = set()
    for caller in cast.callers:
        for user in [None, *cast.users]:
            for code in cast.codes:
                body = {"permission": code, **({} if user is None else {"user_id": user})}
                seen.add((await both(cast, caller, "POST", CHECK, orjson.dumps(body))).status_code)
        for query in ("", f"?permission={cast.codes[0]}", "?permission=films%3Awatch&permission=users:write"):
            seen.add((await both(cast, caller, "GET", f"{VERIFY}{query}")).status_code)
    assert seen == {200, 401, 403}
    assert len(handled) > 100
    assert {CHECK, VERIFY} <= set(handled)


async def test_a_head_is_its_get(cast: Cast) -> None:
    answer = await both(cast, "holder", "HEAD", f"{VERIFY}?permission={cast.codes[0]}")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_batch_is_answered_in_its_order(cast: Cast, handled: list[str]) -> None:
    checks = [{"permission": code, "user_id": user} for user in cast.users for code in cast.codes]
    for caller in ("service", "root", "holder", "poor service"):
        await both(cast, caller, "POST", BATCH, orjson.dumps({"checks": checks}))
    for count in (0, 1, 1000, 1001):
        await both(cast, "service", "POST", BATCH, orjson.dumps({"checks": (checks * 100)[:count]}))
    assert handled.count(BATCH) == 6


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


async def test_edg_5_whatever_is_sent_is_answered_as_ever(cast: Cast) -> None:
    bodies: list[Any] = []

    @settings(max_examples=150, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(some.one_of(FIELDS, some.fixed_dictionaries({"checks": some.lists(FIELDS, max_size=3)}), WRONG))
    def draw(value: Any) -> None:
        bodies.append(value)

    draw()
    for value in bodies:
        text = orjson.dumps(spelt(cast, value))
        for caller in ("holder", "service"):
            await both(cast, caller, "POST", CHECK, text)
            await both(cast, caller, "POST", BATCH, text)
    for text in (b"", b" ", b"{", b"\xff", b'{"permission": "a:b", "permission": "films:watch"}', b"[" * 5000, b"NaN"):
        await both(cast, "holder", "POST", CHECK, text)


QUERIES = ["?", "?permission", "?permission=", "?permission=a%20b", "?permission=%00", "?permission=a;b", "?other=1"]
QUERIES += ["?permission=films:watch&x=1", "?permission=%D0%B0:b", "?permission=a+b", f"?permission={'a' * 129}"]
QUERIES += [f"?permission=a:b{'&permission=a:b' * more}" for more in (9, 10)]


@pytest.mark.parametrize("query", QUERIES)
async def test_edg_5_whatever_is_in_the_query_is_answered_as_ever(cast: Cast, query: str) -> None:
    for caller in ("holder", "service", "none"):
        await both(cast, caller, "GET", f"{VERIFY}{query}")
        await both(cast, caller, "POST", f"{CHECK}{query}", orjson.dumps({"permission": "films:watch"}))


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "https://elsewhere.example")],
        [("content-type", "application/json; charset=utf-8")],
        [("content-type", "text/plain")],
        [("content-encoding", "gzip")],
        [("authorization", "Bearer second")],
        [("accept", "text/html"), ("x-token-transport", "cookie")],
    ],
    ids=["origin", "charset", "type", "coding", "two tokens", "wishes"],
)
async def test_what_the_head_asks_for_is_answered_as_ever(cast: Cast, headers: list[tuple[str, str]]) -> None:
    given = [("authorization", cast.callers["holder"]), ("x-request-id", "of-a-comparison")]
    given += [] if headers[0][0] == "content-type" else [("content-type", "application/json")]
    body = orjson.dumps({"permission": "films:watch"})
    answers = [
        await cast.api.http.post(f"{V1}{CHECK}", content=body, headers=[*given, *headers, *more])
        for more in ([], [("cookie", "theme=dark")])
    ]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].headers.raw == answers[1].headers.raw
    assert answers[0].content == answers[1].content


async def test_log_9_a_step_up_is_seen_by_both(fresh: Fresh) -> None:
    watch = Watch()
    api = await fresh.api(watch)
    viewer: Viewer = await enrol(api, watch)
    _, root = await api.as_role("superuser")
    marked = await create_permission(api, root)
    await api.http.patch(f"{V1}/permissions/{marked}", json={"step_up": True}, headers=root.bearer)
    await grant(api, root, viewer.account.id, await create_role(api, root, marked))
    tokens = await viewer.log_in()
    service = await api.service_token(*await api.create_service(root))
    callers = {"viewer": tokens.bearer["Authorization"], "service": service["Authorization"]}
    cast = Cast(api, callers, [marked], [str(viewer.account.id)])
    about = {"permission": marked, "user_id": str(viewer.account.id), "session_id": tokens.session_id}
    for later, reason in ((timedelta(0), "granted"), (FRESH - STEP + timedelta(seconds=1), "step_up_required")):
        watch.now += later  # the login was a step ago; the token lives as long as a step-up, and for the leeway
        for caller, body in (("viewer", {"permission": marked}), ("service", about)):
            answer = await both(cast, caller, "POST", CHECK, orjson.dumps(body))
            assert answer.json()["reason"] == reason


async def test_the_metrics_name_the_route_as_ever(cast: Cast, handled: list[str]) -> None:
    async def counted(path: str) -> list[str]:
        text = (await cast.api.http.get("/metrics")).text
        return [line for line in text.splitlines() if f'route="{path}"' in line and "_count" in line]

    body = orjson.dumps({"permission": "films:watch"})
    await both(cast, "holder", "POST", CHECK, body)
    await both(cast, "holder", "GET", VERIFY)
    for path in (CHECK, VERIFY):
        assert len(await counted(path)) == 1, path
    assert handled == [CHECK, VERIFY]

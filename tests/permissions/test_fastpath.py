"""The fast path answers as the ordinary route does, to the byte, whoever asks and whatever is sent."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from auth_service.config import Settings
from auth_service.permissions import fastpath
from auth_service.permissions.step_up import FRESH
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant
from tests.support.api import V1
from tests.support.check_cast import (
    BATCH,
    CHECK,
    QUERIES,
    VERIFY,
    Cast,
    both,
    cast_of,
    drawn_bodies,
    spelt,
    statuses_of_all,
)
from tests.support.viewer import STEP, Viewer, Watch, enrol


@pytest.fixture
async def cast(fresh: Fresh, shared_settings: Settings) -> Cast:
    """Where nothing is kept in memory: that is test_hits.py."""
    return await cast_of(await fresh.on(shared_settings.model_copy(update={"check_cache_bytes": 0})))


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
    seen = await statuses_of_all(cast)
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


async def test_edg_5_whatever_is_sent_is_answered_as_ever(cast: Cast) -> None:
    bodies = drawn_bodies(150)
    for value in bodies:
        text = orjson.dumps(spelt(cast, value))
        for caller in ("holder", "service"):
            await both(cast, caller, "POST", CHECK, text)
            await both(cast, caller, "POST", BATCH, text)
    for text in (b"", b" ", b"{", b"\xff", b'{"permission": "a:b", "permission": "films:watch"}', b"[" * 5000, b"NaN"):
        await both(cast, "holder", "POST", CHECK, text)


@pytest.mark.long
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

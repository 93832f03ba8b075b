"""The fast evaluation answers as the ordinary route does, to the byte, whoever asks and whatever is sent."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from auth_service.permissions.cache import Reply
from auth_service.standards.authzen import fast_evaluation
from tests.support.api import V1, Api
from tests.support.authzen_world import ACCESS
from tests.support.check_cast import Cast, both, cast_of
from tests.support.hostile import BROKEN_JSON

EVALUATION = f"{ACCESS}/evaluation"


@pytest.fixture(scope="module")
async def cast(api: Api) -> Cast:
    return await cast_of(api)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Of each call of the fast route, whether it was answered from memory."""
    found: list[bool] = []
    look = fast_evaluation._kept

    def noted(*asked: Any) -> Reply | None:
        reply = look(*asked)
        found.append(reply is not None)
        return reply

    monkeypatch.setattr(fast_evaluation, "_kept", noted)
    return found


def question(user: str, code: str, **more: Any) -> bytes:
    resource, _, action = code.partition(":")
    subject = {"type": "user", "id": user}
    body = {"subject": subject, "action": {"name": action}, "resource": {"type": resource, "id": "1"}}
    return orjson.dumps({**body, **more})


async def test_chk_1_every_caller_is_answered_as_ever(cast: Cast, kept: list[bool]) -> None:
    seen = set()
    for caller in cast.callers:
        for user in cast.users[:2]:
            for code in cast.codes[:4]:
                answer = await both(cast, caller, "POST", EVALUATION, question(user, code), times=2)
                seen.add(answer.status_code)
    assert seen == {200, 401, 403}
    assert kept.count(True) > 20
    assert kept.count(False) > 20


@pytest.mark.parametrize("subject", [{"type": "service", "id": "nobody"}, {"type": "spaceship", "id": "x"}])
async def test_other_subjects_are_answered_as_ever(cast: Cast, kept: list[bool], subject: dict[str, str]) -> None:
    for caller in ("service", "holder", "none"):
        for code in cast.codes:
            await both(cast, caller, "POST", EVALUATION, question("", code, subject=subject), times=2)
    assert True not in kept


async def test_edg_5_whatever_is_sent_is_answered_as_ever(cast: Cast) -> None:
    bodies = [*BROKEN_JSON.values(), b"", b"{}", b"[]", question(cast.users[0], "", context=None)]
    for user in (cast.users[0].upper(), cast.users[0].replace("-", ""), "a@b.example", "\x00", ""):
        bodies.append(question(user, cast.codes[0], future={"nested": True}, context={"a": 1}))
    bodies += [question(cast.users[0], "", **{key: value}) for key in ("subject", "action") for value in (None, {}, 1)]
    for body in bodies:
        await both(cast, "service", "POST", EVALUATION, body, times=2)


async def test_rbac_6_a_change_counts_at_once(api: Api, kept: list[bool]) -> None:
    cast = await cast_of(api)
    user, code = cast.users[0], cast.codes[0]
    body = question(user, code)
    for _ in range(2):
        assert (await both(cast, "service", "POST", EVALUATION, body)).json()["decision"] is True
    assert kept[-1] is True
    root = {"authorization": cast.callers["root"]}
    url = f"{V1}/users/{user}/roles"
    roles = [grant["role"] for grant in (await cast.api.http.get(url, headers=root)).json()]
    for role in roles:
        assert (await cast.api.http.delete(f"{url}/{role}", headers=root)).status_code in {204, 409}
    assert (await both(cast, "service", "POST", EVALUATION, body)).json()["decision"] is False

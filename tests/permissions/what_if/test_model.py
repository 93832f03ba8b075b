"""A dry run says what a plain model says, and what is there once the change is made in earnest: random worlds of it."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import Phase, given, settings
from pydantic import SecretStr

from auth_service.config import Settings
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.decision import decide
from auth_service.permissions.repository import load_facts
from auth_service.permissions.what_if.schemas import DeletionWhatIf, as_json
from auth_service.permissions.what_if.trial import Trial
from auth_service.roles import access_plan
from auth_service.roles.access_file import AccessFile
from tests.conftest import Servers, _recreate, running_app
from tests.support.api import V1, Account, Api, StoppedClock, Tokens, error_of
from tests.support.what_if_world import (
    CODES,
    DAYS,
    KINDS,
    USERS,
    Names,
    Spans,
    State,
    World,
    covers,
    differences,
    make,
    worlds,
)

CASES = int(os.environ.get("WHAT_IF_CASES", "30"))
MOMENTS = [0, *(day + half for day in DAYS if day >= 0 for half in (0, 0.5))]
Answer = dict[str, Any]


class Stage:
    def __init__(self, api: Api, root: Account, tokens: Tokens) -> None:
        self.api = api
        self.root = root
        self.tokens = tokens

    async def prove(self, world: World) -> None:
        names = Names(self.api.resources.clock())
        await make(self.api.resources.hot, world, names)
        had = await self.permissions(names)
        tried, answer = await self.send(world, names, dry_run=True)
        assert await self.permissions(names) == had
        done, result = await self.send(world, names, dry_run=False)
        if done >= 400:
            assert not world.change.sure, (world, result)
            assert (tried, answer["error"]) == (done, result["error"]), (world, answer)
            return
        assert tried == 200, (world, answer)
        assert answer["result"] == result
        has = await self.permissions(names)
        gains = {user: spans_of(answer, "gains", names, names.ids[user]) for user in USERS}
        loses = {user: spans_of(answer, "loses", names, names.ids[user]) for user in USERS}
        assert {moment for user in USERS for moment in moments_in(user, gains[user])} == has - had, world
        assert {moment for user in USERS for moment in moments_in(user, loses[user])} == had - has, world
        self.equals_the_model(world, names, answer, gains, loses)

    def equals_the_model(
        self, world: World, names: Names, answer: Answer, gains: dict[str, Spans], loses: dict[str, Spans]
    ) -> None:
        before, after = world.state, world.change.after
        for found, side, one, other in ((gains, "gains", after, before), (loses, "loses", before, after)):
            expected = {user: differences(one, other, user) if world.active[user] else set() for user in USERS}
            assert found == expected, (world, side)
            superuser = one.codes - other.codes  # who made the change, and has everything
            assert spans_of(answer, side, names, self.root.id) == {(code, None, None) for code in superuser}
            counts = Counter(code for spans in expected.values() for code in {code for code, _, _ in spans})
            counts.update(superuser)
            assert answer[side]["permissions"] == [
                {"permission": names.pattern(code), "users": count} for code, count in sorted(counts.items())
            ]
            assert answer[side]["users"] == sum(map(bool, expected.values())) + bool(superuser)
        services = {
            names.role(name): [
                sorted(names.pattern(code) for code in one - other if covers(scopes, code))
                for one, other in ((after.codes, before.codes), (before.codes, after.codes))
            ]
            for name, scopes in world.services.items()
        }
        found_services = {one["name"]: [one["gains"], one["loses"]] for one in answer["services"]}
        assert found_services == {name: codes for name, codes in services.items() if any(codes)}
        assert answer["administration"] == {"users": 0, "you": False, "people": []}
        marked = after.codes - before.codes if (world.change.body or {}).get("step_up") else ()
        assert [(one["permission"], one["users"]) for one in answer["step_up"]] == [
            (names.pattern(code), 1 + sum(world.active[user] and has_ever(after, user, code) for user in USERS))
            for code in marked
        ]

    async def send(self, world: World, names: Names, *, dry_run: bool) -> tuple[int, Any]:
        change = world.change
        if change.file is not None:
            wanted = AccessFile.model_validate(names.file(change.file))
            resources, trial = self.api.resources, Trial()
            if not dry_run:
                await access_plan.apply(resources, OPERATOR, wanted, prune=False)
                return 200, None
            await access_plan.plan(resources, OPERATOR, wanted, prune=False, trial=trial)
            return 200, orjson.loads(as_json(DeletionWhatIf, await trial.effect(resources, OPERATOR), None))
        response = await self.api.http.request(
            change.method,
            V1 + names.path(change.path),
            json=names.body(change.body),
            headers=self.tokens.bearer,
            params={"dry_run": "true"} if dry_run else {},
        )
        if response.status_code >= 400:
            error_of(response)
        return response.status_code, response.json() if response.content else None

    async def permissions(self, names: Names) -> set[tuple[str, str, float]]:
        """(user, code, day): what the check allows at each moment from now on."""
        codes = {names.pattern(code): code for code in CODES}
        subjects, known = await load_facts(self.api.resources.hot, names.ids.values(), patterns=None, codes=codes)
        return {
            (user, small, day)
            for user, user_id in names.ids.items()
            for code, small in codes.items()
            for day in MOMENTS
            if decide(code, known[code] is not None, subjects[user_id], names.at(day)).allowed
        }


def has_ever(state: State, user: str, code: str) -> bool:
    return any(state.has(user, code, day) for day in DAYS if day >= 0)


def spans_of(answer: Answer, side: str, names: Names, user: UUID) -> Spans:
    days = {names.at(day).isoformat().replace("+00:00", "Z"): day for day in DAYS} | {None: None}
    spans = [span for person in answer["people"] if person["id"] == str(user) for span in person[side]]
    found = {(span["permission"].removeprefix(names.mark), days[span["from"]], days[span["until"]]) for span in spans}
    assert len(found) == len(spans)
    return found


def moments_in(user: str, spans: Spans) -> set[tuple[str, str, float]]:
    return {
        (user, code, day)
        for code, start, end in spans
        for day in MOMENTS
        if (start or 0) <= day and (end is None or day < end)
    }


@pytest.fixture(scope="module")
async def stage(servers: Servers, template: str, shared_settings: Settings) -> AsyncIterator[Stage]:
    """One database for all worlds, whose names are their own, and a clock that stands still."""
    name = f"auth_what_if_{servers.worker}"
    await _recreate(servers, name, template)
    own = {"database_url": SecretStr(servers.database(name))}
    async with running_app(shared_settings.model_copy(update=own), StoppedClock()) as api:
        yield Stage(api, *await api.as_role("superuser"))


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_dry_run_says_comes_true(stage: Stage, kind: str) -> None:
    @settings(max_examples=CASES // len(KINDS), database=None, derandomize=CASES <= 30, phases=(Phase.generate,))
    @given(worlds(kind))
    def generate(world: World) -> None:
        found.append(world)

    found: list[World] = []
    generate()
    for world in found:
        await stage.prove(world)

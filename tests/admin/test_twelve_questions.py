"""What admins ask about access, each by one command and by one call: both answer as a plain model does.

docs/why.md has the same table; `test_the_page_has_them_all` holds the two together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auth_service.core.clock import utc_now
from tests.conftest import Fresh
from tests.support.access_model import World, read_world
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, unique
from tests.support.command import Command

WATCH = "films:watch"
PAGE = Path(__file__).parents[2] / "docs" / "why.md"


@dataclass
class Cinema:
    """Ten days of a small cinema; `world` is what the model holds of it, `then` what it held at a moment."""

    api: Api
    clock: StoppedClock
    world: World
    boss: Account
    root: Tokens
    people: dict[str, Account] = field(default_factory=dict)
    states: list[tuple[datetime, World]] = field(default_factory=list)

    async def act(self, method: str, path: str, body: Any = None) -> None:
        answer = await self.api.http.request(method, f"{V1}{path}", json=body, headers=self.root.bearer)
        assert answer.is_success, answer.text

    async def register(self, name: str) -> None:
        login = unique(name)
        body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
        answer = await self.api.http.post(f"{V1}/auth/register", json=body)
        self.people[name] = Account(answer.json()["id"], login, body["email"], PASSWORD)
        self.world.active[self.id(name)] = True
        self.world.grants[self.id(name), "viewer"] = (self.clock(), None)

    async def grant(self, name: str, role: str, begins: datetime | None = None, ends: datetime | None = None) -> None:
        begins = begins or self.clock()
        dates = {"valid_from": begins.isoformat(), "valid_until": None if ends is None else ends.isoformat()}
        await self.act("PUT", f"/users/{self.id(name)}/roles/{role}", dates)
        self.world.grants[self.id(name), role] = (begins, ends)

    async def day(self, number: int) -> None:
        """What was done on the day before is remembered."""
        self.states.append((self.clock(), self.world.copy()))
        self.clock.now = self.today + timedelta(days=number)
        self.root = await self.api.log_in(self.boss)

    @property
    def today(self) -> datetime:
        return self.states[0][0] + timedelta(days=10)

    def id(self, name: str) -> str:
        return str(self.people[name].id)

    def login(self, name: str) -> str:
        return self.people[name].login

    def then(self, moment: datetime) -> World:
        """Right at the moment, of the past or to come; whatever is done on a day is done at one moment of it."""
        return next((world for at, world in reversed(self.states) if at <= moment), self.world)

    def known(self, ids: Any) -> set[str]:
        """Of those who play a part here."""
        return set(ids) & {str(account.id) for account in self.people.values()}


async def ten_days(fresh: Fresh) -> Cinema:
    clock = StoppedClock()
    end = clock.now
    clock.now = end - timedelta(days=10)
    api = await fresh.api(clock)
    # As if it had been installed before all of this.
    await api.resources.hot.execute("UPDATE permissions SET created_at = created_at - interval '30 days'")
    await api.resources.hot.execute("UPDATE roles SET created_at = created_at - interval '30 days'")
    boss, root = await api.as_role("superuser")
    cinema = Cinema(api, clock, await read_world(api, root), boss, root)
    cinema.states.append((clock(), cinema.world.copy()))
    await cinema.act("PATCH", "/permissions/films:read", {"title": "See films"})  # from here on the past is known
    for name in ("anna", "boris", "clara", "dina", "egor", "fedor", "gleb"):
        await cinema.register(name)
    await cinema.day(-9)
    await cinema.grant("anna", "subscriber", ends=end + timedelta(days=40))
    await cinema.grant("boris", "subscriber", ends=end - timedelta(hours=12))
    await cinema.grant("clara", "subscriber", begins=end + timedelta(days=5), ends=end + timedelta(days=60))
    await cinema.grant("egor", "subscriber")
    await cinema.grant("fedor", "subscriber", ends=end + timedelta(days=3))
    await cinema.act("POST", "/roles", {"name": "critic", "title": "Critic", "parents": ["subscriber"]})
    cinema.world.roles["critic"] = (frozenset(), frozenset({"subscriber"}))
    await cinema.grant("gleb", "critic")
    await cinema.day(-3)
    await cinema.act("PATCH", f"/admin/users/{cinema.id('egor')}", {"is_active": False, "reason": "a test"})
    cinema.world.active[cinema.id("egor")] = False
    await cinema.day(-1)
    await cinema.act("PATCH", "/roles/critic", {"parents": ["viewer"]})
    cinema.world.roles["critic"] = (frozenset(), frozenset({"viewer"}))
    await cinema.day(0)
    return cinema


@dataclass(frozen=True)
class Question:
    """`command` and `call` as the page has them; `read` takes what is compared out of the JSON of either."""

    words: str
    command: str
    call: str
    read: Callable[["Asked", Any], Any]
    expected: Callable[["Asked"], Any]
    body: dict[str, Any] | None = None


@dataclass
class Asked:
    """The answers to one question, and what they are held against."""

    cinema: Cinema
    moments: dict[str, str]
    row: int

    def fill(self, text: str) -> str:
        """The page's names stand for those of the test."""
        logins = {name: account.login for name, account in self.cinema.people.items()}
        words = {**logins, **self.moments, "boss": self.cinema.boss.login, "4711": str(self.row)}
        for word, meant in words.items():
            text = text.replace(word, meant)
        return text

    def at(self, word: str) -> datetime:
        return datetime.fromisoformat(self.moments[word])

    def holders(self, moment: datetime) -> set[str]:
        return self.cinema.then(moment).holders(WATCH, moment)


def ids(asked: Asked, found: Any) -> set[str]:
    """Of the rows that the command prints, or of the page that the call answers."""
    return asked.cinema.known(item["id"] for item in (found["items"] if isinstance(found, dict) else found))


def grants(_asked: Asked, found: Any) -> list[tuple[str, str, str | None]]:
    rows = found["items"] if isinstance(found, dict) else found
    return [(row["user"]["login"], row["role"], row["granted_by"] and row["granted_by"]["login"]) for row in rows]


def effect(asked: Asked, found: Any) -> dict[str, set[tuple[str, str]]]:
    """Who gains and who loses what, of those who play a part."""
    return {
        way: {
            (person["id"], span["permission"])
            for person in found["people"]
            if asked.cinema.known([person["id"]])
            for span in person[way]
        }
        for way in ("gains", "loses")
    }


def differing(asked: Asked, before: World, after: World, moments: list[datetime]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {"gains": set(), "loses": set()}
    for account in asked.cinema.people.values():
        user = str(account.id)
        for at in moments:
            had, has = before.has(user, at), after.has(user, at)
            found["gains"] |= {(user, code) for code in has - had}
            found["loses"] |= {(user, code) for code in had - has}
    return found


def why(_asked: Asked, found: Any) -> Any:
    path = found["path"] and (found["path"]["roles"], found["path"]["pattern"])
    return found["allowed"], found["reason"], path, [item["kind"] for item in found["obstacles"]]


def mended(_asked: Asked, found: Any) -> Any:
    return found["reason"], "subscriber" in [remedy["role"] for remedy in found["remedies"]]


def held(_asked: Asked, found: Any) -> set[str]:
    return {item["permission"] for item in (found["permissions"] if isinstance(found, dict) else found)}


def trail(asked: Asked, found: Any) -> list[tuple[str, list[str]]]:
    rows = found["items"] if isinstance(found, dict) else found
    return [(row["action"], row["changes"]) for row in rows]


def without_watching(asked: Asked) -> World:
    world = asked.cinema.world.copy()
    patterns, parents = world.roles["subscriber"]
    world.roles["subscriber"] = (patterns - {WATCH}, parents)
    return world


def with_dina(asked: Asked) -> World:
    world = asked.cinema.world.copy()
    world.grants[asked.cinema.id("dina"), "subscriber"] = (asked.cinema.clock(), asked.at("<new-year>"))
    return world


def to_come(asked: Asked) -> list[datetime]:
    """Now, and right after everything that time alone brings."""
    return [asked.cinema.clock() + timedelta(days=days) for days in (0, 4, 6, 41, 61, 400)]


QUESTIONS = [
    Question(
        "Who can watch films?",
        "permissions users films:watch",
        "GET /permissions/films:watch/users",
        ids,
        lambda asked: asked.holders(asked.cinema.clock()),
    ),
    Question(
        "Who can watch them at New Year's Eve?",
        "permissions users films:watch --at <new-year>",
        "GET /permissions/films:watch/users?at=<new-year>",
        ids,
        lambda asked: asked.holders(asked.at("<new-year>")),
    ),
    Question(
        "Who could, a week ago?",
        "permissions users films:watch --at <last-week>",
        "GET /permissions/films:watch/users?at=<last-week>",
        ids,
        lambda asked: asked.holders(asked.at("<last-week>")),
    ),
    Question(
        "Why may Anna watch films?",
        "explain anna films:watch",
        "GET /users/anna/permissions/films:watch",
        why,
        lambda asked: (True, "granted", (["subscriber"], WATCH), []),
    ),
    Question(
        "Why may Dina not, and what would change that?",
        "explain dina films:watch",
        "GET /users/dina/permissions/films:watch",
        mended,
        lambda asked: (asked.cinema.world.reason(asked.cinema.id("dina"), WATCH, asked.cinema.clock()), True),
    ),
    Question(
        "Why could Clara not, yesterday?",
        "explain clara films:watch --at <yesterday>",
        "GET /users/clara/permissions/films:watch?at=<yesterday>",
        why,
        lambda asked: (False, "grant_not_started", None, ["grant_not_started"]),
    ),
    Question(
        "What could Egor do before he was disabled?",
        "users permissions egor --at <last-week>",
        "GET /users/egor/permissions?at=<last-week>",
        held,
        lambda asked: asked.cinema.then(asked.at("<last-week>")).held(asked.cinema.id("egor"), asked.at("<last-week>")),
    ),
    Question(
        "What if `films:watch` leaves `subscriber`?",
        "roles update subscriber --remove films:watch --dry-run",
        "PATCH /roles/subscriber?dry_run=true",
        effect,
        lambda asked: differing(asked, asked.cinema.world, without_watching(asked), to_come(asked)),
        body={"permissions": []},  # filled in below: what the role has, without it
    ),
    Question(
        "What if Dina gets `subscriber` until New Year?",
        "roles grant dina subscriber --valid-until <new-year> --dry-run",
        "PUT /users/dina/roles/subscriber?dry_run=true",
        effect,
        lambda asked: differing(asked, asked.cinema.world, with_dina(asked), to_come(asked)),
        body={"valid_until": "<new-year>"},
    ),
    Question(
        "Who gave Anna her `subscriber`?",
        "roles grants --user anna --role subscriber",
        "GET /grants?user=anna&role=subscriber",
        grants,
        lambda asked: [(asked.cinema.login("anna"), "subscriber", asked.cinema.boss.login)],
    ),
    Question(
        "Whose grants end within a week?",
        "roles grants --ends-since <now> --ends-until <next-week>",
        "GET /grants?ends_since=<now>&ends_until=<next-week>",
        grants,
        lambda asked: [(asked.cinema.login("fedor"), "subscriber", asked.cinema.boss.login)],
    ),
    Question(
        "Who lost access by this change?",
        "audit people 4711",
        "GET /admin/audit/4711/people",
        effect,
        lambda asked: differing(
            asked, asked.cinema.states[-2][1], asked.cinema.states[-1][1], [asked.cinema.states[-1][0]]
        ),
    ),
    Question(
        "What did she change yesterday?",
        "audit list --actor boss --since <yesterday>",
        "GET /admin/audit?actor=boss&since=<yesterday>",
        trail,
        lambda asked: [("role.updated", ["parents: +viewer −subscriber"])],
    ),
]


async def test_each_question_is_one_command_and_one_call(fresh: Fresh) -> None:
    cinema = await ten_days(fresh)
    api, now = cinema.api, cinema.clock()
    command = Command(api.resources.settings)
    row = (await api.http.get(f"{V1}/admin/audit", headers=cinema.root.bearer)).json()["items"][0]["id"]
    moments = {
        "<now>": now,
        "<yesterday>": now - timedelta(days=1),
        "<last-week>": now - timedelta(days=7),
        "<next-week>": now + timedelta(days=7),
        "<new-year>": now + timedelta(days=33),
    }
    asked = Asked(cinema, {word: at.strftime("%Y-%m-%dT%H:%M:%SZ") for word, at in moments.items()}, row)
    kept = sorted(cinema.world.roles["subscriber"][0] - {WATCH})
    for question in QUESTIONS:
        expected = question.expected(asked)
        assert expected, question.words
        said = await command(*asked.fill(question.command).split(), "--json")
        assert said.code == 0, (question.words, said.err)
        assert question.read(asked, said.json) == expected, question.words
        method, path = asked.fill(question.call).split()
        body = question.body and (
            {"permissions": kept}
            if "permissions" in question.body
            else {name: asked.fill(value) for name, value in question.body.items()}
        )
        answer = await api.http.request(method, f"{V1}{path}", json=body, headers=cinema.root.bearer)
        assert answer.status_code == 200, (question.words, answer.text)
        assert question.read(asked, answer.json()) == expected, question.words
    assert utc_now() - now < timedelta(hours=1), "the commands go by the real time, the calls by the clock"


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.words)
def test_the_page_has_them_all(question: Question) -> None:
    (line,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {question.words} |")]
    assert f"`{question.command}`" in line
    assert f"`{question.call}" in line

"""The same requests on a small installation and on large ones: many users, many roles, many sessions.

Each installation has stores of its own. The small one and one of the large ones run at once and take turns.
"""

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

from bench.driver import WARM_ROUNDS, Measure, Options, Part, take_turns
from bench.load import CONNECTIONS, Load, measure, post
from bench.parts.check import CHECK, CODE
from bench.parts.logins import LOGIN
from bench.people import PASSWORD, login_of
from bench.stand import stand
from bench.trial import Trial

REFRESH = "/api/v1/auth/refresh"
LOGINS_AT_ONCE = 4


@dataclass(frozen=True)
class Size:
    users: int
    roles: int
    sessions: int


SMALL = Size(1_000, 10, 1_000)
LARGE = {
    "10^6 users": Size(1_000_000, 10, 1_000),
    "10^4 roles": Size(1_000, 10_000, 1_000),
    "10^6 sessions": Size(1_000_000, 10, 1_000_000),  # and as many users: nobody has a thousand sessions
}


def run(options: Options) -> Part:
    part = Part()
    for name, size in LARGE.items():
        print(f"  {name} …", flush=True)
        with ExitStack() as stack:
            small, large = (_Installation(stack, its, options) for its in (SMALL, size))
            sides: dict[str, Measure] = {}
            for what in small.acts():
                sides[f"{what}, small beside {name}"] = small.acts()[what]
                sides[f"{what}, {name}"] = large.acts()[what]
            part.trials |= take_turns(sides, options.pairs)
    return part


class _Installation:
    def __init__(self, stack: ExitStack, size: Size, options: Options) -> None:
        here = stack.enter_context(stand(options.core))
        self._people, self._options = here.people, options
        roles = self._people.add_roles(size.roles, CODE)
        self._users = self._people.add_users(size.users, *roles)
        sessions = self._people.add_sessions(self._users, size.sessions, self._people.in_an_hour())
        self._people.add_families(sessions)
        self._service = here.service()
        self._tokens = self._people.refresh_tokens(self._users[:CONNECTIONS])
        rounds = options.pairs + WARM_ROUNDS
        # Those at the front log in and refresh; of the rest, each is asked about once.
        front = SMALL.users // 5
        self._loggers = [post(LOGIN, {"login": login_of(one), "password": PASSWORD}) for one in self._users[:front]]
        self._unseen = iter(self._users[front:])
        self._each = (SMALL.users - front) // rounds

    def acts(self) -> dict[str, Measure]:
        return {"hit": self._hit, "miss": self._miss, "refresh": self._refresh, "login": self._login}

    def _hit(self) -> Trial:
        call = post(CHECK, {"permission": CODE}, self._people.token(self._users[0]))
        self._service.ask(call)
        return self._fire(Load([call], self._options.seconds))

    def _miss(self) -> Trial:
        asked: list[UUID] = list(itertools.islice(self._unseen, self._each))
        calls = [post(CHECK, {"permission": CODE}, self._people.token(user)) for user in asked]
        return self._fire(Load(calls, self._options.seconds, way="once"))

    def _refresh(self) -> Trial:
        return self._fire(Load([post(REFRESH, {})], self._options.seconds, way="follow", tokens=self._tokens))

    def _login(self) -> Trial:
        return self._fire(Load(self._loggers, self._options.seconds, connections=LOGINS_AT_ONCE))

    def _fire(self, load: Load) -> Trial:
        return measure(self._service.base, self._service.process, load)

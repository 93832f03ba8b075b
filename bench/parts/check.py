"""The permission check: asked again and again, at first sight, in a batch; and what others take for the same answer."""

import asyncio
import itertools
from uuid import UUID

from auth_service.embedded.server import free_port
from bench.agreement import Allows, agree
from bench.driver import WARM_ROUNDS, Measure, Options, Part, take_turns
from bench.load import Call, Load, get, measure, post
from bench.peers import cerbos
from bench.peers.install import LeftOut, cerbos_binary, python_with_peers
from bench.rules import Rules
from bench.stand import UNCACHED, ServiceAccount, Side, Stand, stand
from bench.trial import Trial

CHECK, BATCH, VERIFY = "/api/v1/permissions/check", "/api/v1/permissions/check/batch", "/api/v1/auth/verify"
CODE = "films:watch"
ASKER_ROLE = "content-manager"
BATCH_SIZE = 100
# More than a worker answers in a second, so that the time is up first.
UNSEEN_EACH_SECOND = 4000
MOST_UNSEEN = 400_000


def run(options: Options) -> Part:
    with stand(options.core) as here:
        return _Checks(here, options).run()


class _Checks:
    def __init__(self, here: Stand, options: Options) -> None:
        self._here = here
        self._options = options
        self._part = Part()
        self._service = here.service()
        self._uncached = here.service(**UNCACHED)
        self._account = ServiceAccount(self._service)
        self._service_token = self._account.token()
        self._user = here.rules.user_with(ASKER_ROLE)
        self._members = here.people.add_users(BATCH_SIZE, ASKER_ROLE)

    def run(self) -> Part:
        token = self._here.people.token(UUID(self._user))
        recorded = [self._own(token), get(f"{VERIFY}?permission={CODE}", token)]
        raw = self._here.raw(self._service, recorded, UUID(self._user))
        plain = self._here.app("bench.peers.plain:app", "/openapi.json")
        self._same_bytes(raw, plain, recorded)
        sides = {
            "raw": self._again(raw, own=True),
            "own": self._again(self._service, own=True),
            "plain": lambda: self._measure(plain, post("/check", {"permission": CODE}, token)),
            "by a service": self._again(self._service, own=False),
            "raw verify": lambda: self._verify(raw),
            "verify": lambda: self._verify(self._service),
            "batch": self._batch,
            "uncached": self._again(self._uncached, own=True),
        } | self._peers()
        # Tokens live 15 minutes; each round has new ones, which the first requests of a trial make known.
        self._part.trials = take_turns(sides, self._options.pairs)
        self._part.trials |= self._first_sight()
        return self._part

    # --- ours

    def _own(self, token: str) -> Call:
        return post(CHECK, {"permission": CODE}, token)

    def _measure(self, side: Side, *calls: Call, each: int = 1) -> Trial:
        for call in calls:
            side.ask(call)
        return measure(side.base, side.process, Load(calls, self._options.seconds, each=each))

    def _again(self, side: Side, *, own: bool) -> Measure:
        def trial() -> Trial:
            if own:
                return self._measure(side, self._own(self._here.people.token(UUID(self._user))))
            question = {"permission": CODE, "user_id": self._user}
            return self._measure(side, post(CHECK, question, self._account.token()))

        return trial

    def _verify(self, side: Side) -> Trial:
        return self._measure(side, get(f"{VERIFY}?permission={CODE}", self._here.people.token(UUID(self._user))))

    def _batch(self) -> Trial:
        checks = [{"permission": CODE, "user_id": str(user)} for user in self._members]
        return self._measure(self._service, post(BATCH, {"checks": checks}, self._account.token()), each=BATCH_SIZE)

    def _first_sight(self) -> dict[str, list[Trial]]:
        """Tokens and users that the worker has never seen; both workers are asked about the same users."""
        rounds = self._options.pairs + WARM_ROUNDS
        each = min(int(UNSEEN_EACH_SECOND * self._options.seconds), MOST_UNSEEN // rounds)
        users = self._here.people.add_users(rounds * each, ASKER_ROLE)

        def unseen_by(side: Side) -> Measure:
            left = iter(users)

            def trial() -> Trial:
                calls = [self._own(self._here.people.token(user)) for user in itertools.islice(left, each)]
                return measure(side.base, side.process, Load(calls, self._options.seconds, way="once"))

            return trial

        sides = {"first sight": unseen_by(self._service), "first sight, uncached": unseen_by(self._uncached)}
        return take_turns(sides, self._options.pairs)

    # --- the peers

    def _peers(self) -> dict[str, Measure]:
        """Those that can be brought here, after they have been found to answer as we do."""
        sides: dict[str, Measure] = {}
        allows: dict[str, Allows] = {}
        for start in (self._cerbos, self._fastapi_users):
            try:
                name, ask, trial = start(self._here.rules)
            except LeftOut as reason:
                self._part.left_out.append(str(reason))
            else:
                sides[name], allows[name] = trial, ask
        ours = {
            "the check without a cache": self._allows(self._uncached),
            "the check by a service": self._service_allows,
            "forward authentication": self._verify_allows,
        }
        self._part.agreed = agree(self._here.rules, self._allows(self._service), ours | allows)
        return sides

    def _allows(self, side: Side) -> Allows:
        def ask(user: str, code: str) -> bool:
            token = self._here.people.token(UUID(user))
            return bool(side.ask(post(CHECK, {"permission": code}, token)).json()["allowed"])

        return ask

    def _service_allows(self, user: str, code: str) -> bool:
        call = post(CHECK, {"permission": code, "user_id": user}, self._service_token)
        return bool(self._service.ask(call).json()["allowed"])

    def _verify_allows(self, user: str, code: str) -> bool:
        answer = self._service.try_to_ask(get(f"{VERIFY}?permission={code}", self._here.people.token(UUID(user))))
        assert answer.status_code in {200, 403}, answer.text
        return answer.status_code == 200

    def _cerbos(self, rules: Rules) -> tuple[str, Allows, Measure]:
        port, grpc = free_port(), free_port()
        config = cerbos.configure(self._here.stores.folder / "cerbos", port, grpc, rules)
        command = [str(cerbos_binary()), "server", f"--config={config}", "--log-level=error"]
        side = self._here.program(command, port, "/_cerbos/health", GOMAXPROCS="1", CERBOS_NO_TELEMETRY="1")

        def ask(user: str, code: str) -> bool:
            return cerbos.allowed(side.ask(cerbos.question(rules, user, code)).json(), code)

        return "Cerbos", ask, lambda: self._measure(side, cerbos.question(rules, self._user, CODE))

    def _fastapi_users(self, rules: Rules) -> tuple[str, Allows, Measure]:
        python = python_with_peers()
        database = asyncio.run(self._here.add_database("peer"))
        side = self._here.app(
            "bench.peers.fastapi_users_casbin:app",
            "/ready",
            python,
            BENCH_PEER_DATABASE=database.replace("postgresql://", "postgresql+asyncpg://"),
            BENCH_RULES=str(rules.write(self._here.stores.folder / "rules.json")),
        )
        tokens = {user: _login(side, user) for user in rules.users}

        def ask(user: str, code: str) -> bool:
            return bool(side.ask(post("/check", {"permission": code}, tokens[user])).json()["allowed"])

        question = post("/check", {"permission": CODE}, tokens[self._user])
        return "fastapi-users", ask, lambda: self._measure(side, question)

    def _same_bytes(self, raw: Side, plain: Side, calls: list[Call]) -> None:
        """The raw app sends what the service sends, to the byte but for date and request id; plain says the same."""
        for call in calls:
            one, other = self._service.ask(call), raw.ask(call)
            assert one.content == other.content
            assert sorted(one.headers.keys()) == sorted(other.headers.keys())
        said = plain.ask(post("/check", {"permission": CODE}, "x"))
        assert said.json() == self._service.ask(calls[0]).json()


def _login(side: Side, user: str) -> str:
    form = f"username={user}%40cinema.example&password=a%20password%20of%20this%20benchmark".encode()
    call = Call("POST", "/login", {"Content-Type": "application/x-www-form-urlencoded"}, form)
    return str(side.ask(call).json()["access_token"])

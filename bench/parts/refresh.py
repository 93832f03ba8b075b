"""A refresh, beside the least that any refresh with these stores and this signature does."""

from bench.driver import Options, Part, take_turns
from bench.load import CONNECTIONS, Load, get, measure, post
from bench.peers.raw import REFRESH
from bench.stand import Side, stand
from bench.trial import Trial


def run(options: Options) -> Part:
    with stand(options.core) as here:
        service = here.service()
        users = here.people.add_users(CONNECTIONS + 1, "viewer")
        first, *tokens = here.people.refresh_tokens(users)
        # One answer is recorded for the raw side; its stand also wants a path to be ready at.
        ready = get("/api/v1/auth/verify", here.people.token(users[0]))
        session = here.people.add_sessions(users[:1], 1, here.people.in_an_hour())[0]
        raw = here.raw(service, [post(REFRESH, {"refresh_token": first}), ready], session)
        call = post(REFRESH, {})

        # Each connection has a session, and presents what it was given last; the raw side always gives the same.
        loads = {
            "refresh": Load([call], options.seconds, way="follow", tokens=tokens),
            "raw refresh": Load([call], options.seconds, way="follow", tokens=list(tokens)),
        }

        def of(name: str, side: Side) -> Trial:
            return measure(side.base, side.process, loads[name])

        trials = take_turns(
            {"raw refresh": lambda: of("raw refresh", raw), "refresh": lambda: of("refresh", service)}, options.pairs
        )
        return Part(trials)

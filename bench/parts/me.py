"""GET /users/me beside a plain FastAPI route with the same row and the same answer."""

from bench.driver import Options, Part, take_turns
from bench.load import Load, get, measure
from bench.stand import Side, stand
from bench.trial import Trial


def run(options: Options) -> Part:
    with stand(options.core) as here:
        service = here.service()
        (user,) = here.people.add_users(1, "viewer")
        plain = here.app("bench.peers.plain:app", "/openapi.json", BENCH_USER=str(user))
        paths = {"users/me": "/api/v1/users/me", "plain users/me": "/me"}
        token = here.people.token(user)
        said = service.ask(get(paths["users/me"], token)).json()
        assert said == plain.ask(get(paths["plain users/me"], token)).json(), "the two accounts differ"

        def of(name: str, side: Side) -> Trial:
            call = get(paths[name], here.people.token(user))
            side.ask(call)
            return measure(side.base, side.process, Load([call], options.seconds))

        sides = {"plain users/me": lambda: of("plain users/me", plain), "users/me": lambda: of("users/me", service)}
        return Part(take_turns(sides, options.pairs), agreed="the same account, field by field")

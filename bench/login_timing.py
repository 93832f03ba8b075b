"""Can a stranger tell by the time of a refused login who has an account? (LOG-1)

Interleaved pairs of login for a name that nobody has and for a registered one with a wrong password, on one
kept-alive connection. Prints both medians, their ratio, and whether the answers are equal but for the request id.

The service must let this through, so start it with its limits raised:

    RATE_LIMIT_LOGIN=100000/minute RATE_LIMIT_REGISTER=100000/minute LOGIN_ADDRESS_FAILURE_LIMIT=100000 \\
        auth-service dev

Each known user gets at most two wrong passwords, so the lock of an account plays no part.
"""

import argparse
import http.client
import json
import secrets
import statistics
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
WRONG = "a wrong password of this benchmark"
TRIES_EACH = 2


@dataclass
class Answer:
    milliseconds: float
    status: int
    seen: str


@dataclass
class Side:
    times: list[float] = field(default_factory=list)
    answers: set[tuple[int, str]] = field(default_factory=set)

    def add(self, answer: Answer) -> None:
        self.times.append(answer.milliseconds)
        self.answers.add((answer.status, answer.seen))


class Client:
    """One connection, so that only the first request pays for it."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)

    def post(self, path: str, body: dict[str, str]) -> Answer:
        text = json.dumps(body)
        started = time.perf_counter()
        self._connection.request("POST", f"/api/v1{path}", text, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        raw = response.read()
        elapsed = (time.perf_counter() - started) * 1000
        request_id = response.headers.get("X-Request-ID", "")
        headers = {name.lower(): value for name, value in response.getheaders() if name.lower() != "date"}
        seen = f"{sorted(headers.items())} {raw.decode()}".replace(request_id, "…")
        return Answer(elapsed, response.status, seen)


def register(client: Client, count: int) -> list[str]:
    logins = []
    for _ in range(count):
        login = f"timing{secrets.token_hex(6)}"
        body = {"login": login, "email": f"{login}@example.com", "password": secrets.token_urlsafe(16)}
        answer = client.post("/auth/register", body)
        if answer.status != 201:
            hint = ": raise RATE_LIMIT_REGISTER, see --help" if answer.status == 429 else ""
            sys.exit(f"register answered {answer.status}{hint}")
        logins.append(login)
    return logins


def measure(client: Client, known: list[str], pairs: int) -> tuple[Side, Side]:
    unknown_side, known_side = Side(), Side()
    for number in range(pairs):
        tries = [
            (unknown_side, f"timing{secrets.token_hex(6)}"),
            (known_side, known[number % len(known)]),
        ]
        for side, login in tries if number % 2 else reversed(tries):
            answer = client.post("/auth/login", {"login": login, "password": WRONG})
            if answer.status != 401:
                hint = ": raise RATE_LIMIT_LOGIN, see --help" if answer.status == 429 else ""
                sys.exit(f"login answered {answer.status}{hint}")
            side.add(answer)
    return unknown_side, known_side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="http://localhost:8000", help="a service on this machine")
    parser.add_argument("--pairs", type=int, default=200)
    arguments = parser.parse_args()
    if urlsplit(arguments.base).hostname not in LOOPBACK or arguments.pairs < 2:
        parser.error("--base must be on this machine: it gets accounts and wrong passwords; --pairs at least 2")
    client = Client(arguments.base)
    known = register(client, -(-arguments.pairs // TRIES_EACH))
    measure(client, known[:1], 1)  # the first of everything is slower
    unknown_side, known_side = measure(client, known[1:] or known, arguments.pairs)
    medians = [statistics.median(side.times) for side in (unknown_side, known_side)]
    spread = [statistics.quantiles(side.times, n=20)[-1] for side in (unknown_side, known_side)]
    print(f"pairs                  {arguments.pairs}")
    print(f"unknown login          median {medians[0]:.2f} ms, 95 % within {spread[0]:.2f} ms")
    print(f"known, wrong password  median {medians[1]:.2f} ms, 95 % within {spread[1]:.2f} ms")
    print(f"ratio of medians       {medians[0] / medians[1]:.3f} (1 tells nothing)")
    print(f"difference             {abs(medians[0] - medians[1]):.2f} ms")
    equal = unknown_side.answers == known_side.answers and len(known_side.answers) == 1
    print(f"answers equal          {'yes' if equal else 'NO'}")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()

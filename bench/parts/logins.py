"""Logins against a bare loop of the same hash, and what a check has to wait while they take every core.

Nothing is pinned here: the hash is meant to have all cores, and the loop gets them all as well.
"""

import os
import subprocess
import sys
from uuid import UUID

from bench.driver import Options, Part, take_turns
from bench.load import Call, Load, Running, measure, post
from bench.people import PASSWORD, login_of
from bench.stand import Side, Stand, stand
from bench.trial import Trial

LOGIN = "/api/v1/auth/login"
CHECK = "/api/v1/permissions/check"
# Each has few sessions yet: the cap would end older ones, which is work of another kind.
USERS = 1000
AT_ONCE = 16
CHECKS_EACH_SECOND = 100.0
CHECK_CONNECTIONS = 8
# A hundredth of fewer checks would be single ones.
LEAST_SECONDS = 4.0
AHEAD_SECONDS = 1.0


def run(options: Options) -> Part:
    with stand(None) as here:
        service = here.service()
        users = here.people.add_users(USERS, "viewer")
        seconds = max(LEAST_SECONDS, options.seconds)
        logins = [post(LOGIN, {"login": login_of(user), "password": PASSWORD}) for user in users]
        sides = {
            "hash loop": lambda: _hash_loop(here.people.password_hash, seconds),
            "logins": lambda: measure(
                service.base, service.process, Load(_turned(logins), seconds, connections=AT_ONCE)
            ),
            "checks, idle": lambda: _checks(here, service, users[0], seconds),
            "checks, under logins": lambda: _checks_under(here, service, users[0], logins, seconds),
        }
        return Part(take_turns(sides, options.pairs))


def _turned(logins: list[Call]) -> list[Call]:
    """The next ones in turn: those of the front go to the end."""
    share = len(logins) // 4
    logins[:] = logins[share:] + logins[:share]
    return list(logins)


def _hash_loop(hashed: str, seconds: float) -> Trial:
    command = [sys.executable, "-m", "bench.peers.hash_loop", hashed, PASSWORD, "--seconds", str(seconds)]
    loops = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(os.cpu_count() or 1)
    ]
    for loop in loops:
        assert loop.stdout is not None
        loop.stdout.readline()
    told = [loop.communicate("go\n")[0].split() for loop in loops]
    rate = sum(int(count) / float(spent) for count, spent, _ in told)
    cpu = sum(float(cpu) for _, _, cpu in told)
    # Each ends with the hash that it was at, so a little later than the others.
    count = sum(int(count) for count, _, _ in told)
    return Trial(count, count / rate, cpu)


def _checks(here: Stand, service: Side, user: UUID, seconds: float) -> Trial:
    call = post(CHECK, {"permission": "films:read"}, here.people.token(user))
    service.ask(call)
    load = Load([call], seconds, way="paced", rate=CHECKS_EACH_SECOND, connections=CHECK_CONNECTIONS)
    return measure(service.base, service.process, load)


def _checks_under(here: Stand, service: Side, user: UUID, logins: list[Call], seconds: float) -> Trial:
    flood = Running(service.base, Load(_turned(logins), seconds + 2 * AHEAD_SECONDS, connections=AT_ONCE))
    flood.go()
    try:
        return _checks(here, service, user, seconds)
    finally:
        flood.trial(flood.finish())

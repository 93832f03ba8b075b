"""Ten thousand grants at once beside ten thousand single ones, and the checks that are asked meanwhile.

    python -m bench.bulk_grants                 # --users 10000 --singles 1000 --seconds 20 --workers 1

Starts a service of its own on this machine and stops it. A job grants the role to all users; as many single PUTs as
`--singles` say are sent one after another, and counted up. CPU is that of the workers and of Postgres with all of its
processes. Then 100 checks a second are asked from a process of their own, first alone and then while jobs change the
dates of all grants again and again, and whoever asked for a job looks once a second how far it is: of people whom the
jobs leave alone; and then of those whose grants change, who have to be looked up anew after each job, beside as many
whom nobody has asked about before.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Event, Thread
from typing import Any
from uuid import UUID

import httpx
import psutil

from auth_service.testing.processes import OwnService, own_stores, own_workers
from bench.load import Call, Load, Running, post
from bench.people import People

RATE, CONNECTIONS = 100.0, 8
ASKERS = 1000
ROLE, CODE = "subscriber", "films:watch"
JOBS = "/api/v1/grants/jobs"
LONGEST_SECONDS = 600.0
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds."""

    wall: float
    workers: float
    postgres: float

    def times(self, factor: float) -> "Cost":
        return Cost(self.wall * factor, self.workers * factor, self.postgres * factor)

    def __str__(self) -> str:
        return f"{self.wall:8.2f} s, CPU of workers {self.workers:7.2f} s, of Postgres {self.postgres:7.2f} s"


class Machine:
    """The processes that are measured."""

    def __init__(self, service: OwnService, postgres: psutil.Process) -> None:
        self._service, self._postgres = psutil.Process(service.pid), postgres

    @contextmanager
    def measured(self) -> Iterator[list[Cost]]:
        found: list[Cost] = []
        began, workers, postgres = time.perf_counter(), _cpu(self._service), _cpu(self._postgres)
        yield found
        wall = time.perf_counter() - began
        found.append(Cost(wall, _cpu(self._service) - workers, _cpu(self._postgres) - postgres))


def _cpu(process: psutil.Process) -> float:
    """With its children, those that have ended too."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if one == process:
            total += times.children_user + times.children_system
    return total


def run_job(http: httpx.Client, users: list[UUID], year: int, look_seconds: float = LOOK_SECONDS) -> dict[str, Any]:
    """To its end; `year`: in which the grants end."""
    body = {"role": ROLE, "users": [str(user) for user in users], "valid_until": f"29{year:02}-01-31T00:00:00Z"}
    answer = http.post(JOBS, json=body)
    answer.raise_for_status()
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        job: dict[str, Any] = http.get(f"{JOBS}/{answer.json()['id']}").json()
        if job["finished_at"] is not None:
            if job["state"] != "done":
                raise RuntimeError(f"the job ended as {job['state']}: {job['failure_detail']}")
            return job
        time.sleep(look_seconds)
    raise RuntimeError("the job did not end")


def put_each(http: httpx.Client, users: list[UUID]) -> None:
    for user in users:
        answer = http.put(f"/api/v1/users/{user}/roles/{ROLE}", json={"valid_until": "2999-01-31T00:00:00Z"})
        answer.raise_for_status()


def asking(people: People, askers: list[UUID]) -> list[Call]:
    """Each about itself, with one token for all that it asks: so do viewers."""
    return [post("/api/v1/permissions/check", {"permission": CODE}, people.token(user)) for user in askers]


def checks_beside(base: str, calls: list[Call], seconds: float) -> Running:
    """In turn."""
    return Running(base, Load(calls, seconds, "paced", rate=RATE, connections=CONNECTIONS))


def told_of(load: Running) -> dict[str, Any]:
    load.go()
    told = load.finish()
    if told["failed"]:
        raise RuntimeError(f"{told['failed']} checks were not answered")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.bulk_grants", description="Many grants beside single ones.")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--singles", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run of checks")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    users_count = min(given.users, 10_000)
    with own_stores() as stores:
        postgres = _postmaster(stores.folder)
        people = People(stores)
        users = people.add_users(users_count, "viewer")
        singles = people.add_users(min(given.singles, users_count), "viewer")
        (root,) = people.add_users(1, "superuser")
        with own_workers(stores, workers=given.workers, LOG_LEVEL="WARNING") as service:
            machine = Machine(service, postgres)
            token = {"Authorization": f"Bearer {people.token(root)}"}
            with httpx.Client(base_url=service.base, headers=token, timeout=60, trust_env=False) as http:
                _compare(machine, http, users, singles)
                seconds = min(given.seconds, LONGEST_SECONDS)
                for number in range(given.rounds):
                    known = asking(people, people.add_users(ASKERS, "viewer"))
                    told_of(checks_beside(service.base, known, len(known) / RATE))  # once each
                    fresh = asking(people, people.add_users(int(RATE * seconds), "viewer"))
                    changing = asking(people, users[:ASKERS])
                    years = 2 + 20 * number
                    _checks(service.base, "left alone", known, known, http, users, seconds, years)
                    _checks(service.base, "being changed", fresh, changing, http, users, seconds, years + 10)


def _compare(machine: Machine, http: httpx.Client, users: list[UUID], singles: list[UUID]) -> None:
    put_each(http, singles[:20])
    with machine.measured() as one:
        put_each(http, singles[20:])
    single = one[0].times(len(users) / len(singles[20:]))
    with machine.measured() as many:
        job = run_job(http, users, 1, look_seconds=0.2)
    (bulk,) = many
    print(f"{len(users)} single grants   {single}   (from {len(singles) - 20})")
    print(f"{job['counts']['granted']} grants of a job {bulk}")
    cpu = (single.workers + single.postgres) / (bulk.workers + bulk.postgres)
    print(
        f"times less: wall {single.wall / bulk.wall:.1f}, CPU {cpu:.1f}"
        f" (workers {single.workers / bulk.workers:.1f}, Postgres {single.postgres / bulk.postgres:.1f})"
    )


def _checks(  # noqa: PLR0917  what one run of the measurement stands on
    base: str,
    kind: str,
    before: list[Call],
    calls: list[Call],
    http: httpx.Client,
    users: list[UUID],
    seconds: float,
    year: int,
) -> None:
    """`before` are asked while nothing else is done, `calls` beside jobs."""
    alone = told_of(checks_beside(base, before, seconds))
    ended, jobs = Event(), count()

    def order() -> None:
        while not ended.is_set():
            run_job(http, users, year + next(jobs) % 10)

    # Two, so that the next job is there when one ends.
    admins = [Thread(target=order) for _ in range(2)]
    load = checks_beside(base, calls, seconds)
    for admin in admins:
        admin.start()
    beside = told_of(load)
    ended.set()
    for admin in admins:
        admin.join()
    print(
        f"checks of people {kind}, {RATE:.0f} a second: p99 {alone['p99']:.2f} ms alone,"
        f" {beside['p99']:.2f} ms beside {next(jobs)} jobs: {beside['p99'] / alone['p99']:.2f} times"
    )


def _postmaster(folder: Any) -> psutil.Process:
    pid = (folder / "postgres" / "postmaster.pid").read_text().split("\n")[0]
    return psutil.Process(int(pid))


if __name__ == "__main__":
    main()

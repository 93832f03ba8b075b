"""CPU of the client of clients/python for each check that it asks over HTTP: µs of its process, the service beside it.

    .venv/bin/python -m bench.client_calls [--beside ../before/clients/python] [--calls 2000] [--pairs 5]

Starts its own Postgres, Redis and one worker. With `--beside` another version of the client is asked in turns with this
one; the ratio is the median of the pairs.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.own_service import own_service
from bench.stand import ROOT, ServiceAccount, Side

AT_ONCE = (1, 50)
HERE = ROOT / "clients" / "python"
USERS = [f"01980000-0000-7000-8000-{number:012}" for number in range(max(AT_ONCE))]  # workers keep a no of nobody too
CODE = "films:watch"


async def ask(settings: dict[str, str], calls: int) -> dict[str, float]:
    """µs by how many calls are under way at once."""
    from auth_service_client import AuthClient

    spent = {}
    async with AuthClient(**settings) as client:

        async def one_after_the_other(user: str, count: int) -> None:
            for _ in range(count):
                await client.check(user, CODE)

        for at_once in AT_ONCE:
            for count in (at_once * 4, calls):
                before = time.process_time()
                await asyncio.gather(*(one_after_the_other(user, count // at_once) for user in USERS[:at_once]))
                spent[f"{at_once} at once"] = (time.process_time() - before) / (count // at_once * at_once) * 1e6
    return spent


def measured(client: Path, settings: dict[str, str], calls: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.client_calls", "--ask", json.dumps(settings), "--calls", str(calls)]
    environment = {**os.environ, "PYTHONPATH": f"{client.resolve()}:{ROOT}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--ask", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(asyncio.run(ask(given.ask, given.calls))))
        return
    with own_service() as service:
        account = ServiceAccount(Side(service.base, psutil.Process(service.pid)))
        client_id, client_secret = account.credentials
        settings = {"url": service.base, "client_id": client_id, "client_secret": client_secret}
        sides = {"here": HERE} | ({"beside": given.beside} if given.beside else {})
        rounds: list[dict[str, dict[str, float]]] = []
        for number in range(given.pairs):
            order = list(sides) if number % 2 else list(reversed(sides))
            rounds.append({name: measured(sides[name], settings, given.calls) for name in order})
    for at_once in (f"{count} at once" for count in AT_ONCE):
        line = [f"{at_once:<12}"]
        line += [f"{name} {statistics.median(one[name][at_once] for one in rounds):.0f} µs" for name in sides]
        if given.beside:
            ratio = statistics.median(one["here"][at_once] / one["beside"][at_once] for one in rounds)
            line.append(f"ratio {ratio:.2f}")
        print("  ".join(line))


if __name__ == "__main__":
    main()

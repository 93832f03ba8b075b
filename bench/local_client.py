"""The client of clients/python that answers from its own memory, timed call by call while changes go on.

    python -m bench.local_client '{"settings": {…}, "questions": [[user, code], …], "rounds": 7, "calls": 1000000}'

Each call is timed by itself and counted in a histogram; "clock" is the same loop around nothing, for what the clock
itself takes is in every figure. After each block of calls the event loop runs, so that the client hears of changes as
in a service that answers requests. Prints JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle, islice

from auth_service_client import AuthClient

BLOCK = 1000
MOST_NS = 1_000_000  # of the histogram; what takes longer is in the last place
Questions = list[tuple[str, str]]
Block = Callable[[Questions, list[int]], Awaitable[int]]


class Side:
    """`block` asks all questions, and says how many of them were not known."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self.missed = 0
        self.rounds: list[dict[str, float]] = []

    async def run(self, questions: Questions, calls: int) -> None:
        times = [0] * (MOST_NS + 1)
        spent = 0.0
        began = time.perf_counter()
        for _ in range(calls // BLOCK):
            before = time.process_time()
            self.missed += await self._block(questions, times)
            spent += time.process_time() - before
            await asyncio.sleep(0)
        seconds = time.perf_counter() - began
        self.rounds.append(
            {
                "requests": calls // BLOCK * BLOCK,
                "seconds": seconds,
                "cpu": spent,
                "p50": _quantile(times, 0.5) / 1e6,
                "p99": _quantile(times, 0.99) / 1e6,
            }
        )


def _quantile(times: list[int], share: float) -> int:
    """Nanoseconds."""
    left = sum(times) * share
    for nanoseconds, count in enumerate(times):
        left -= count
        if left <= 0:
            return nanoseconds
    raise AssertionError("no call was timed")


def sides_of(client: AuthClient) -> dict[str, Side]:
    clock = time.perf_counter_ns

    async def nothing(questions: Questions, times: list[int]) -> int:
        for _ in questions:
            began = clock()
            took = clock() - began
            times[took if took < MOST_NS else MOST_NS] += 1
        return 0

    async def known(questions: Questions, times: list[int]) -> int:
        missed = []
        ask = client.known
        for user, code in questions:
            began = clock()
            answer = ask(user, code)
            took = clock() - began
            times[took if took < MOST_NS else MOST_NS] += 1
            if answer is None:
                missed.append((user, code))
        for user, code in dict.fromkeys(missed):
            await client.check(user, code)
        return len(missed)

    async def check(questions: Questions, times: list[int]) -> int:
        ask = client.check
        for user, code in questions:
            began = clock()
            await ask(user, code)
            took = clock() - began
            times[took if took < MOST_NS else MOST_NS] += 1
        return 0

    return {"clock": Side(nothing), "known": Side(known), "await check": Side(check)}


async def main() -> None:
    given = json.loads(sys.argv[1])
    asked = [(user, code) for user, code in given["questions"]]
    async with AuthClient(**given["settings"], local=True) as client:
        await client.ready(30)
        # Of all who change too, so that each change takes something away.
        await client.check_many([(user, asked[0][1]) for user in given["others"]])
        answers = [bool(decision) for decision in await client.check_many(asked)]
        sides = sides_of(client)
        block = list(islice(cycle(asked), BLOCK))
        for number in range(-1, given["rounds"]):
            for name in sides if number % 2 else reversed(sides):
                await sides[name].run(block, given["calls"] if number >= 0 else BLOCK * 20)
        left = client.staleness
    print(
        json.dumps(
            {
                "answers": answers,
                "sides": {name: side.rounds[1:] for name, side in sides.items()},
                "missed": sides["known"].missed,
                "staleness": left,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())

"""A client with local=True as a program of its own, so that it can be frozen alone: a line of JSON for each order and
for each answer. It tells by the clock of the whole machine when it was asked and when it had the answer.

    python -m tests.support.local_clients.process '{"url": …, "client_id": …, "client_secret": …}'
"""

import asyncio
import json
import sys
import time
from typing import Any

from auth_service_client import AuthClient, Denied, InvalidToken, Unavailable

FIRST_PAUSE = 0.001
MEMORY_TRIES = 3  # of an answer that was right and had to be asked for: by then it should be kept
NEVER_KEPT = {"401", "503"}
Order = dict[str, Any]


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Program:
    def __init__(self, client: AuthClient) -> None:
        self._client = client
        self._stops: dict[int, asyncio.Future[Order]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._time = time.time
        self.answers = self.kept = 0

    async def take(self, order: Order) -> None:
        match order["do"]:
            case "ask":
                await self._answer(order, self._once(order["call"]))
            case "follow":
                self._stops[order["id"]] = asyncio.get_running_loop().create_future()
                await self._answer(order, self._follow(order["id"], order["call"], order["longest"]))
            case "stop":
                self._stops[order["of"]].set_result(order)
            case "clock":  # as whoever sets the machine's, which nothing here may go by
                offset = order["offset"]
                time.time = lambda: self._time() + offset
            case "staleness":
                tell({"id": order["id"], "staleness": self._client.staleness})

    def start(self, order: Order) -> None:
        task = asyncio.create_task(self.take(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, order: Order, work: Any) -> None:
        samples = await work
        tell({"id": order["id"], "samples": samples, "answers": self.answers, "kept": self.kept})

    async def _once(self, call: Order) -> list[Order]:
        return [await self._sample(call)]

    async def _follow(self, number: int, call: Order, longest: float) -> list[Order]:
        """The first and the last answer of each row of equal ones, until it is told to stop and gets a word that it
        was told to wait for, if it can be from memory, or has waited long enough. `longest`: seconds between two.
        """
        rows: list[list[Order]] = []
        stop, pause, deadline, right = self._stops[number], FIRST_PAUSE, float("inf"), 0
        while True:
            sample = await self._sample(call)
            if rows and rows[-1][0]["word"] == sample["word"]:
                rows[-1][1:] = [sample]
            else:
                rows.append([sample])
            if not stop.done():
                await asyncio.wait([stop], timeout=pause)
                pause = FIRST_PAUSE if stop.done() else min(longest, pause * 1.5)
                continue
            order = stop.result()
            deadline = min(deadline, now() + order["seconds"])
            right += sample["asked"] > order["at"] and sample["word"] in order["words"]
            enough = 1 if sample["kept"] or sample["word"] in NEVER_KEPT else MEMORY_TRIES
            if sample["asked"] > deadline or right >= enough:
                break
            await asyncio.sleep(FIRST_PAUSE if right else pause)
            pause = min(longest, pause * 1.3)
        del self._stops[number]
        return [sample for row in rows for sample in row]

    async def _sample(self, call: Order) -> Order:
        asked = now()
        turns: list[bool] = []
        asyncio.get_running_loop().call_soon(turns.append, True)
        word = await self._word(call)
        kept = not turns and word not in NEVER_KEPT  # whoever asks the service lets the loop turn
        self.answers += 1
        self.kept += kept
        return {"word": word, "kept": kept, "asked": asked, "answered": now()}

    async def _word(self, call: Order) -> str:
        """As the model has it."""
        try:
            if "token" in call:
                await self._client.authorize(call["token"], *call["codes"])
                return "granted"
            return (await self._client.check(call["user"], call["code"], session_id=call["session"])).reason
        except Unavailable:
            return "503"
        except InvalidToken:
            return "401"
        except Denied as error:
            return error.reason or error.code
        except Exception as error:  # noqa: BLE001  a word that no model has: the trial names it
            return repr(error)


def tell(said: Order) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def main() -> None:
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AuthClient(**json.loads(sys.argv[1]), local=True) as client:
        await client.ready(60)
        tell({"id": 0})
        program = Program(client)
        while line := await reader.readline():
            program.start(json.loads(line))


if __name__ == "__main__":
    asyncio.run(main())

"""What would have made an answer of the client older than its bound, each by itself, with a clock of the test."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import httpx2
import pytest
from auth_service_client.answers import Decision, Question
from auth_service_client.config import Config, read_config
from auth_service_client.loads import Loads
from auth_service_client.memory import Memory
from auth_service_client.service_token import ServiceToken
from auth_service_client.stream import Stream
from auth_service_client.transport import Transport

USER, BOUND = UUID(int=7), 1.5
QUESTION = Question(USER, "films:watch")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Service:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[str]] = []

    async def __call__(self, questions: Sequence[Question]) -> list[Decision]:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        reason = await answer
        return [Decision(True, reason) for _ in questions]


def a_memory(clock: Clock) -> Memory:
    memory = Memory(BOUND, 10, clock)
    assert memory.prove(clock.now - 1, 1, 5000)
    return memory


async def until(true: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came about")


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nobody_waits_for_what_was_asked_before_the_last_proof() -> None:
    clock, service = Clock(), Service()
    memory = a_memory(clock)
    loads = Loads(memory, service)
    first = asyncio.create_task(loads.load(QUESTION))
    await turns()
    joins = asyncio.create_task(loads.load(QUESTION))  # while changes are known
    await turns()
    assert len(service.asked) == 1
    clock.now += 10  # frozen, and the answer of before lies ready
    late = asyncio.create_task(loads.load(QUESTION))
    await turns()
    service.asked[0].set_result("old")
    service.asked[1].set_result("new")
    answers = [(await one).reason for one in (first, joins, late)]
    assert answers == ["old", "old", "new"]
    assert memory.place(USER).loading == {}


def test_a_proof_from_the_future_ends_the_trust_in_the_clock() -> None:
    """As when this machine was halted, its clock with it, and beats come from after that."""
    clock = Clock()
    memory = a_memory(clock)
    memory.keep(memory.place(USER), "films:watch", Decision(True, "granted"))
    assert memory.known(str(USER), "films:watch") is not None
    assert not memory.prove(clock.now - 1, 11, 5010)
    assert memory.known(str(USER), "films:watch") is None
    assert memory.prove(clock.now, 0, 5010)  # of a new stream; what was told before it still counts
    assert memory.known(str(USER), "films:watch") is not None


def test_a_token_expires_by_the_service_s_clock() -> None:
    clock = Clock()
    memory = a_memory(clock)
    memory.keep_token(memory.place(USER), "a token's id", 5001)
    assert memory.confirms(USER, "a token's id")
    clock.now += 1
    assert not memory.confirms(USER, "a token's id")
    assert memory.service_time == pytest.approx(5001, abs=0.01)


def config() -> Config:
    return read_config(
        url="http://auth",
        client_id="one",
        client_secret="two",
        issuer="here",
        audience=None,
        timeout=3,
        retries=0,
        local=True,
        staleness=BOUND,
        when_stale="ask",
        max_subjects=10,
    )


@pytest.mark.parametrize("event", ["event: beat\ndata: {}\n\n", "event: beat\ndata: 7\n\n"])
async def test_a_stream_of_nonsense_is_tried_again(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_service_client.stream.LONGEST_PAUSE", 0.001)
    asked = 0

    def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal asked
        if request.method == "POST":
            return httpx2.Response(200, json={"access_token": "it", "expires_in": 900})
        asked += 1
        return httpx2.Response(200, text=event)

    transport = Transport(config(), httpx2.MockTransport(answer))
    stream = Stream(Memory(BOUND, 10), transport, ServiceToken(config(), transport), lambda: None)
    following = asyncio.create_task(stream.run())
    await until(lambda: asked == 3)
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await transport.close()

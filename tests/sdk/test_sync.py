"""SyncAuthClient: from threads, after a fork, and when it closes."""

import asyncio
import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from auth_service_client import InvalidToken, SyncAuthClient, Unavailable

from tests.conftest import ROOT
from tests.sdk.conftest import Service
from tests.sdk.test_transport import CREDENTIALS, USER
from tests.support.planted_service import CHECK, GRANTED, Answer, Planted


def sync_client(service: Service, **options: object) -> SyncAuthClient:
    return SyncAuthClient(**service.arguments(**options))


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "auth-service-client"]


async def test_all_of_it_from_threads(service: Service) -> None:
    account, tokens = await service.api.as_role()

    def use() -> None:
        with sync_client(service, local=True) as client:
            client.ready()
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda _: client.check(account.id, "films:read"), range(200)))
            assert all(answers)
            assert names() == ["auth-service-client"]
            assert client.known(account.id, "films:read")
            assert client.staleness < 1.5
            assert client.verify(tokens.access).id == client.authorize(tokens.access, "films:read").id == account.id
            assert client.check_many([(account.id, "films:watch")])[0].reason == "no_grant"
            assert client.explain(account.id, "films:read").grants
            with pytest.raises(InvalidToken):
                client.authorize(None)
        assert names() == []

    await asyncio.to_thread(use)


# In a process of its own: a fork of this one, with its many threads, may find any lock held.
FORKS = """
import os, signal, sys, traceback
from auth_service_client import SyncAuthClient
signal.alarm(20)
url, client_id, client_secret, user = sys.argv[1:]
with SyncAuthClient(url, client_id=client_id, client_secret=client_secret, issuer=url) as client:
    assert client.check(user, "films:watch")
    client._lock.acquire()  # somebody else holds it in this moment
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(20)
            assert client.check(user, "films:rate")
            client.close()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    client._lock.release()
    assert client.check(user, "films:watch"), "the parent goes on"
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


async def test_a_child_begins_anew(planted: Planted) -> None:
    """As under gunicorn: made and used by the parent, then used by those who were forked."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FORKS, planted.base_url, CREDENTIALS["client_id"], CREDENTIALS["client_secret"]),
        str(USER),
        env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")},
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert [asked.json["permission"] for asked in planted.of(CHECK)].count("films:rate") == 1


async def test_at_the_end_who_waits_is_told(planted: Planted) -> None:
    planted.plant(CHECK, Answer(body=GRANTED), Answer(body=GRANTED, seconds=30))

    def use() -> None:
        client = SyncAuthClient(planted.base_url, **CREDENTIALS, timeout=20)
        client.check(USER, "films:watch")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.check, USER, "films:watch")
            while planted.count(CHECK) < 2:
                pass
            client.close()
            with pytest.raises(Unavailable, match="closed"):
                waiting.result(5)
        client.close()
        with pytest.raises(Unavailable, match="closed"):
            client.check(USER, "films:watch")
        assert names() == []

    await asyncio.wait_for(asyncio.to_thread(use), 20)
    gc.collect()  # what was not closed would warn, and a warning is a failure here


def test_one_that_was_never_used_has_no_thread() -> None:
    with SyncAuthClient("http://127.0.0.1:9"):
        assert names() == []

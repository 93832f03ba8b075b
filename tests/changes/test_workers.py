"""The stream over two processes: it goes on at the other one, and stops neither of them from stopping."""

import signal
import time

import pytest

from tests.conftest import Fresh
from tests.support.access import create_role, grant
from tests.support.listening import listening


@pytest.mark.long
async def test_it_goes_on_at_another_worker_and_ends_as_its_own_drains(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    _, root = await api.as_role("superuser")
    client = await api.service_token(*await api.create_service(root, ["changes:read"]))
    leaving, staying = await fresh.service(settings, DRAIN_SECONDS="0.5"), await fresh.service(settings)
    async with listening(staying.base_url, client) as other:
        await other.next("beat")  # it listens since before the position below
        async with listening(leaving.base_url, client) as listener:
            position = (await listener.next("beat")).position
            began = time.monotonic()
            leaving.process.send_signal(signal.SIGTERM)
            await listener.end()
            assert await leaving.process.wait() == 0
            assert time.monotonic() - began < 5, "open streams do not hold it up"
    account = await api.create_user()
    role = await create_role(api, root, "films:watch")
    await grant(api, root, account.id, role)
    async with listening(staying.base_url, client, position) as listener:
        assert (await listener.next("start")).data == {"resumed": True}
        assert (await listener.change(subjects=str(account.id))).data["roles"] is True

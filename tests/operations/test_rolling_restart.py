"""Three replicas behind nginx, restarted one by one under load: no request fails (REL-7, F16)."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.conftest import Fresh, running_app
from tests.operations.replicas import FAIL_SECONDS, Nginx, Replica, needs_nginx, say, viewers

PER_SECOND = 40
ROUNDS = 2


@needs_nginx
async def test_rel_7_a_rolling_restart_fails_no_request(fresh: Fresh, tmp_path: Path) -> None:
    # As shipped, but for the limits of one address and for a busy machine.
    settings = await fresh.settings(drain_seconds=5, allowed_hosts=("localhost", "127.0.0.1"))
    # The clients here are many in one address; viewers read roles.
    async with running_app(settings) as api:
        logins = [(await api.create_user("admin")).login for _ in range(20)]
    replicas = [Replica(f"replica-{number}", settings, tmp_path) for number in range(3)]
    nginx = Nginx(tmp_path, replicas)
    async with AsyncExitStack() as stack:
        for replica in replicas:
            stack.push_async_callback(replica.stop)
        await asyncio.gather(*(replica.start() for replica in replicas))
        await stack.enter_async_context(nginx.running())
        async with viewers(nginx.url, logins, PER_SECOND) as load:
            await asyncio.sleep(3)
            for number in range(1, ROUNDS + 1):
                for replica in replicas:
                    assert await replica.stop() == 0
                    await replica.start()
                    say(
                        f"round {number}: {replica.name} is back; {load.requests} requests, {len(load.failures)} failed"
                    )
                    await asyncio.sleep(2 * FAIL_SECONDS)
        load.report("rolling restart")
        assert load.failures == [], nginx.errors()
        assert load.requests > 500
        assert [line for replica in replicas for line in replica.log().splitlines() if '"status": 5' in line] == []

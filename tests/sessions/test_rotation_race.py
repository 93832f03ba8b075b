"""Many clients refresh with one token at once, over TCP against two worker processes.

REFRESH_ROUNDS=100 tries harder.
"""

import asyncio
import os
from uuid import UUID

import pytest

from tests.conftest import Fresh
from tests.support.api import Api, Tokens, error_of, tokens_of

pytestmark = pytest.mark.long

ROUNDS = int(os.environ.get("REFRESH_ROUNDS", "12"))
RACERS = 50
GRACE_SECONDS = 2


async def test_ref_2_racers_get_one_successor_and_nobody_is_logged_out(fresh: Fresh) -> None:
    settings = await fresh.settings(refresh_grace_seconds=GRACE_SECONDS)
    service = await fresh.service(settings, workers=2)
    near, over_tcp = await fresh.on(settings), Api(service.http)
    account = await near.create_user()
    tokens = await over_tcp.log_in(account)
    bystander = await over_tcp.log_in(account)
    chain: list[Tokens] = [tokens]
    for number in range(ROUNDS):
        answers = await asyncio.gather(*(over_tcp.refresh(chain[-1].refresh) for _ in range(RACERS)))
        racers = [tokens_of(answer) for answer in answers]
        assert len({racer.refresh for racer in racers}) == 1, f"round {number}"
        chain.append(racers[number % RACERS])

    generation = await near.resources.hot.fetchval(
        "SELECT generation FROM sessions WHERE id = $1 AND revoked_at IS NULL", UUID(tokens.session_id)
    )
    assert generation == ROUNDS
    assert (await over_tcp.me(chain[-1])).status_code == 200

    await asyncio.sleep(GRACE_SECONDS + 0.1)
    replays = await asyncio.gather(*(over_tcp.refresh(chain[-2].refresh) for _ in range(RACERS)))
    assert {error_of(answer) for answer in replays} == {(401, "invalid_refresh_token")}
    # New connections each time, so that both workers are asked.
    for _ in range(5):
        assert error_of(await over_tcp.me(chain[-1])) == (401, "not_authenticated")
        assert error_of(await over_tcp.refresh(chain[-1].refresh)) == (401, "invalid_refresh_token")
        assert (await over_tcp.me(bystander)).status_code == 200
    assert service.log().count("refresh_token_reused") == 1
    assert service.log().count('"status": 500') == 0

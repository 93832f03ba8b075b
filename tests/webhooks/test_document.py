"""docs/webhooks.md: its commands run against the service and a receiver, and its Python verifies what arrives."""

import asyncio
import re
import shutil
import sys
from typing import Any

import pytest

from auth_service.seed import seed_users
from tests.conftest import ROOT, Fresh
from tests.support.receiver import receiving

PAGE = ROOT / "docs" / "webhooks.md"


@pytest.mark.long
@pytest.mark.skipif(shutil.which("curl") is None, reason="the documents are written with curl, which is not here")
async def test_what_the_page_shows_runs_and_verifies(fresh: Fresh) -> None:
    settings = await fresh.settings(webhook_private_networks=("127.0.0.0/8",))
    await seed_users((await fresh.on(settings)).resources)
    service = await fresh.service(settings, APP_ENV="development")
    async with receiving() as receiver:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "scripts" / "run_doc.py"), str(PAGE)),
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "BASE": service.base_url, "HOOK": receiver.url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    assert '"delivered":true,"status":204' in output
    first, second = re.findall(r"whsec_[A-Za-z0-9+/=]+", output)
    (ping,) = receiver.arrived
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  what it is for
    verify = names["verify"]
    assert ping.kind == "ping"
    assert verify(first, ping.headers, ping.body)
    assert not verify(second, ping.headers, ping.body)
    assert not verify(first, ping.headers, ping.body + b" ")
    assert not verify(first, ping.headers | {"webhook-id": "another"}, ping.body)
    old = str(int(ping.headers["webhook-timestamp"]) - 301)
    assert not verify(first, ping.headers | {"webhook-timestamp": old}, ping.body)

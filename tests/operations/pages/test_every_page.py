"""Chromium opens every page of the service as each of five readers: `make walk`.

`PAGE_PICTURES=folder` keeps a picture of each page in each look; `python -m tests.operations.pages.sheets folder` puts
them side by side. `WALK_ONLY=/console/roles` opens only addresses with that in them, and all that forms answer.
"""

import asyncio
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Fresh
from tests.operations.pages.addresses import Address, all_addresses
from tests.operations.pages.scenes import AS_ADMIN, AS_STRANGER, Scene, as_careful
from tests.operations.pages.walker import EVERY_LOOK, Look, Progress, Walker
from tests.operations.pages.world import World, a_world
from tests.support import browser_walk
from tests.support.chromium_site import CUT, Site
from tests.support.page_looks import DESK, PHONE, PICTURES
from tests.support.receiver import receiving
from tests.support.service_process import held_port

pytestmark = pytest.mark.skipif(
    browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
    reason="needs a browser: apt-get install chromium chromium-driver",
)
AT_MOST_SECONDS = 1200
BROWSER = (CUT, "--hide-scrollbars")  # which would take from the width, and differently in pictures


@dataclass(frozen=True)
class Round:
    """One reader in one language. `asked`: the looks in which axe is asked and the keyboard tried."""

    reader: str
    language: str
    looks: tuple[Look, ...]
    asked: frozenset[Look]
    scenes: tuple[Scene, ...] = ()
    addresses: bool = True


ON_PHONE, AT_NIGHT = frozenset({(PHONE[0], "light")}), frozenset({(DESK[0], "dark")})


def _others(reader: str, look: Look, language: str, scenes: tuple[Scene, ...] = ()) -> Round:
    return Round(reader, language, (look,), frozenset({look}), scenes)


# Of each browser. The admin sees all, so in every look; axe and the keyboard in the two that differ most.
ROUNDS: tuple[tuple[Round, ...], ...] = (
    (
        Round("admin", "en", EVERY_LOOK, ON_PHONE, AS_ADMIN),
        _others("manager", (DESK[0], "light"), "en"),
        _others("viewer", (PHONE[0], "light"), "en"),
        Round("stranger", "en", EVERY_LOOK, ON_PHONE, AS_STRANGER, addresses=False),
        Round("careful", "en", EVERY_LOOK, ON_PHONE, as_careful("en"), addresses=False),
    ),
    (
        Round("admin", "ru", EVERY_LOOK, AT_NIGHT, AS_ADMIN),
        _others("moderator", (PHONE[0], "dark"), "ru"),
        _others("stranger", (PHONE[0], "light"), "ru"),
        Round("stranger", "ru", EVERY_LOOK, AT_NIGHT, AS_STRANGER, addresses=False),
        Round("careful", "ru", EVERY_LOOK, AT_NIGHT, as_careful("ru"), addresses=False),
    ),
)


async def test_every_page_is_in_order_for_every_reader(fresh: Fresh) -> None:
    async with asyncio.timeout(AT_MOST_SECONDS), receiving() as receiver:
        with held_port() as port:
            base, networks = f"http://localhost:{port}", ("127.0.0.0/8",)
            settings = await fresh.settings(issuer=base, app_env="development", webhook_private_networks=networks)
            api = await fresh.on(settings)
            service = await fresh.service(settings, port=port)
        world = await a_world(api, receiver)
        addresses = all_addresses(api.app, world.ids)
        if only := os.environ.get("WALK_ONLY"):
            addresses = [one for one in addresses if only in one.path]
        progress = Progress(_openings(addresses), lambda line: print(line, flush=True))
        with ExitStack() as stack:
            walks = []
            for rounds in ROUNDS:
                driver = stack.enter_context(browser_walk.chromium(*BROWSER))
                driver.set_page_load_timeout(60)
                walks.append(_walk(Site(api, service, base, driver), world, addresses, rounds, progress))
            walkers = [walker for walk in await asyncio.gather(*walks) for walker in walk]
    openings, links = (sum(counts) for counts in zip(*((one.checks, len(one.links)) for one in walkers), strict=True))
    seconds = time.monotonic() - progress.began
    print(f"{len(addresses)} addresses, {openings} pages opened, {links} links followed, {seconds:.0f} s")
    wrong = _grouped([line for walker in walkers for line in walker.wrong])
    assert wrong == [], "\n".join(["", *wrong])


def _openings(addresses: list[Address]) -> int:
    return sum(len(addresses) * one.addresses + len(one.scenes) for rounds in ROUNDS for one in rounds)


async def _walk(
    site: Site, world: World, addresses: list[Address], rounds: tuple[Round, ...], progress: Progress
) -> list[Walker]:
    walkers = []
    for one in rounds:
        folder = Path(PICTURES) if PICTURES else None
        walker = Walker(site, one.reader, one.language, one.looks, one.asked, folder)
        await walker.begin(world.readers.get(one.reader))
        for number, address in enumerate(addresses if one.addresses else ()):
            await walker.visit(address, number)
            progress.step(f"{one.reader} {one.language} {address.path}")
        for number, scene in enumerate(one.scenes, len(addresses)):
            await walker.enact(scene, world, number)
            progress.step(f"{one.reader} {one.language} {scene.__name__}")
        await walker.dead_ends()
        walkers.append(walker)
    return walkers


def _grouped(wrong: list[tuple[str, str]]) -> list[str]:
    """What is wrong on many pages is one line."""
    places: dict[str, list[str]] = {}
    for what, where in wrong:
        places.setdefault(what, []).append(where)
    return [f"{what}  [{len(where)} times, first: {where[0]}]" for what, where in places.items()]

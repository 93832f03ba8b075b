"""Pages as they look: on a phone and on a desk, light and dark, in both languages.

`PAGE_PICTURES=folder` keeps a picture of each page in each of the eight looks, and asks axe-core about every one.
"""

import asyncio
import base64
import itertools
import os
from pathlib import Path

from tests.support.chromium_site import Site

PHONE, DESK = (390, 844), (1280, 900)
PICTURES = os.environ.get("PAGE_PICTURES")


def looks() -> list[tuple[int, str, str]]:
    """Width, theme and language: all of them where pictures are wanted, else the two that differ most."""
    if PICTURES:
        return list(itertools.product((PHONE[0], DESK[0]), ("light", "dark"), ("en", "ru")))
    return [(PHONE[0], "light", "en"), (DESK[0], "dark", "ru")]


async def set_look(site: Site, width: int, theme: str, language: str) -> None:
    """At the sign-in, with nobody signed in."""
    height = dict((PHONE, DESK))[width]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    await command(site, "Emulation.setDeviceMetricsOverride", **metrics)
    await command(site, "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    await asyncio.to_thread(site._driver.delete_all_cookies)
    await site.open(f"{site.base}/account/language?to={language}&next=/account/sign-in")


async def any_look(site: Site) -> None:
    await command(site, "Emulation.clearDeviceMetricsOverride")
    await command(site, "Emulation.setEmulatedMedia", features=[])


async def command(site: Site, name: str, **arguments: object) -> None:
    await asyncio.to_thread(site._driver.execute_cdp_cmd, name, arguments)


async def looked_at(site: Site, path: str | None, width: int, picture: str, *, axe: bool) -> None:
    """`path`: None for the page at hand. `axe`: whether to ask it, which is slow, also where nobody takes pictures."""
    if path is not None:
        await site.open(f"{site.base}{path}")
    await site.find("h1")
    assert await site.run("return document.documentElement.scrollWidth") <= width, path
    small = await site.run(
        "return [...document.querySelectorAll('button, input:not([type=checkbox]), select, textarea, label.check,"
        " .sections a, .button')]"
        ".filter(item => item.offsetParent && item.offsetHeight < 44).map(item => item.outerHTML)"
    )
    assert small == [], path
    if PICTURES or axe:
        assert await site.axe() == [], path
    if PICTURES:
        arguments = {"captureBeyondViewport": True}
        shot = await asyncio.to_thread(site._driver.execute_cdp_cmd, "Page.captureScreenshot", arguments)
        name = (path or "wrong").strip("/").replace("/", "-") or "account"
        (Path(PICTURES) / f"{picture}-{name}.png").write_bytes(base64.b64decode(shot["data"]))

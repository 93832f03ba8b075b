"""The templates of the pages: compiled for each language, by a worker before somebody waits for it."""

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from auth_service.pages.catalogue import LANGUAGES

if TYPE_CHECKING:
    from jinja2 import Environment

# The first seconds are for requests; compiling takes more than half a second of CPU, which a thread shares with them.
COMPILE_AFTER_SECONDS = 2


@cache
def environment(language: str) -> "Environment":
    # Two MiB of a worker's memory, which a service without pages does without.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from auth_service.pages.texts import install_texts

    found = Environment(
        loader=PackageLoader("auth_service.pages"),
        auto_reload=False,  # it would ask the disk for each part of each page
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["zip"] = zip
    install_texts(found, language)
    return found


async def compile_all() -> None:
    """In a thread: else the first who opens a page would hold up everybody's requests."""
    await asyncio.to_thread(_compile_all)


def _compile_all() -> None:
    for language in LANGUAGES:
        found = environment(language)
        for name in found.list_templates():
            found.get_template(name)

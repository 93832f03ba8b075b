"""The templates of the pages: compiled once for all languages, and by a worker before somebody waits for it."""

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from auth_service.pages.catalogue import LANGUAGES, catalogue

if TYPE_CHECKING:
    from types import CodeType

    from jinja2 import Environment

# The first seconds are for requests; compiling takes 0.7 s of CPU, which a thread shares with them.
WARM_UP_AFTER_SECONDS = 2
_compiled: "dict[tuple[str, str], CodeType]" = {}  # by name and source


@cache
def environment(language: str) -> "Environment":
    # Two MiB of a worker's memory, which a service without pages does without.
    from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined
    from jinja2.bccache import Bucket

    class OfAllLanguages(BytecodeCache):
        """A language differs in what its texts are, not in the code: half of the time and of the memory."""

        def load_bytecode(self, bucket: Bucket) -> None:
            bucket.code = _compiled.get((bucket.key, bucket.checksum))

        def dump_bytecode(self, bucket: Bucket) -> None:
            assert bucket.code is not None  # noqa: S101  it was compiled just now
            _compiled[bucket.key, bucket.checksum] = bucket.code

    found = Environment(
        loader=PackageLoader("auth_service.pages"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=OfAllLanguages(),
    )
    found.filters["zip"] = zip
    found.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    return found


async def warm_up() -> None:
    """Compiles all of them, in a thread: else the first who opens a page would hold up everybody's requests."""
    await asyncio.sleep(WARM_UP_AFTER_SECONDS)
    await asyncio.to_thread(_compile_all)


def _compile_all() -> None:
    for language in LANGUAGES:
        found = environment(language)
        for name in found.list_templates():
            found.get_template(name)

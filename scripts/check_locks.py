"""Refuses a lock that an installer with `--require-hashes` will not take some day: `make lint` runs it.

Whatever the project or a locked package requires must be pinned, in a version that fits, and with just the extras it
is required with. To pip, `coverage` and `coverage[toml]` are two things: where only one of them is pinned and the other
one is required, it installs while the pin is the newest release, and stops on the day that a newer one is published.
What is not installed here, as it is for another system or Python, has no metadata to read; it is named.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "requirements.txt": (),
    "requirements-otel.txt": ("otel",),
    "requirements-dev.txt": ("embedded", "otel", "dev"),
}
_PIN = re.compile(r"^(?P<requirement>[A-Za-z0-9][^\\\n]*?) *\\?$", re.MULTILINE)


@dataclass(frozen=True)
class Pinned:
    name: str
    version: str
    extras: frozenset[str]
    marker: Marker | None

    @property
    def here(self) -> bool:
        return self.marker is None or self.marker.evaluate()


def main() -> int:
    findings, unread = [], set()
    own = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, extras in LOCKS.items():
        locked = read_lock(ROOT / name)
        wishes = [*own["dependencies"], *(one for extra in extras for one in own["optional-dependencies"][extra])]
        of_project = [Requirement(wish) for wish in wishes if not wish.startswith(own["name"])]
        findings += [f"{name}: {finding}" for finding in unpinned("the project", of_project, locked)]
        for pinned in locked:
            try:
                requires = list(requirements_of(pinned))
            except PackageNotFoundError:
                unread.add(pinned.name)
                continue
            findings += [f"{name}: {finding}" for finding in unpinned(pinned.name, requires, locked)]
    print("\n".join(findings) or "the locks pin whatever is required, with its extras")
    if unread:
        print(f"not installed here, so not read: {', '.join(sorted(unread))}")
    return 1 if findings else 0


def read_lock(path: Path) -> list[Pinned]:
    pins = []
    for match in _PIN.finditer(path.read_text(encoding="utf-8")):
        requirement = Requirement(match["requirement"])
        version = str(requirement.specifier).removeprefix("==")
        name = canonicalize_name(requirement.name)
        pins.append(Pinned(name, version, frozenset(requirement.extras), requirement.marker))
    return pins


def requirements_of(pinned: Pinned) -> Iterator[Requirement]:
    """What the pinned package requires here, its pinned extras included."""
    if not pinned.here:
        raise PackageNotFoundError
    for text in distribution(pinned.name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *pinned.extras)
        ):
            yield requirement


def unpinned(source: str, requires: Iterable[Requirement], locked: list[Pinned]) -> Iterator[str]:
    for requirement in requires:
        pins = [pinned for pinned in locked if pinned.name == canonicalize_name(requirement.name)]
        here = [pinned for pinned in pins if pinned.here]
        wanted_here = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not pins or (wanted_here and not here):
            yield f"{source} requires {requirement}, which is not pinned"
        elif here and not requirement.specifier.contains(here[0].version, prereleases=True):
            yield f"{source} requires {requirement}, and {here[0].version} is pinned"
        elif here and not any(_serves(requirement, pinned) for pinned in here):
            with_what = f"with [{','.join(sorted(requirement.extras))}]" if requirement.extras else "without an extra"
            yield f"{source} requires {requirement}, which is not pinned {with_what}"


def _serves(requirement: Requirement, pinned: Pinned) -> bool:
    return requirement.extras <= pinned.extras if requirement.extras else not pinned.extras


if __name__ == "__main__":
    sys.exit(main())

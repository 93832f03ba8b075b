"""What runs in production, as a CycloneDX 1.6 document made from the lock: `make sbom`.

It describes the image: Linux with CPython 3.13. Each component has the hashes of all its files in the lock, as the lock
is for every machine; which of them was installed is for the machine to say.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.check_locks import ROOT, Pinned, read_lock
from scripts.release.source import Source, git

IMAGE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",  # no package of the lock differs on aarch64; a test holds that
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}


@dataclass(frozen=True)
class Document:
    text: str
    packages: dict[str, str]  # version by name


def main() -> int:
    source = Source(ROOT, git("rev-parse", "HEAD"), int(git("show", "-s", "--format=%ct", "HEAD")))
    path = ROOT / "dist" / f"auth-service-{source.version}.cdx.json"
    path.parent.mkdir(exist_ok=True)
    document = describe(source)
    path.write_text(document.text, encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(document.packages)} packages of requirements.txt")
    return 0


def describe(source: Source) -> Document:
    """The same text for the same commit: its time is the commit's, its number is made of version and lock."""
    lock = source.folder / "requirements.txt"
    pins = pinned_for(lock, IMAGE)
    hashes = _hashes(lock)
    components = {pin.name: _component(pin, hashes[pin.name]) for pin in pins.values()}
    service = Component(
        name="auth-service",
        version=source.version,
        type=ComponentType.APPLICATION,
        bom_ref=f"pkg:pypi/auth-service@{source.version}",
        purl=PackageURL("pypi", None, "auth-service", source.version),
    )
    bom = Bom(components=components.values())
    bom.metadata.component = service
    bom.metadata.timestamp = source.made_at
    bom.serial_number = uuid5(NAMESPACE_URL, f"{source.commit} {lock.read_text(encoding='utf-8')}")
    bom.register_dependency(service, [components[name] for name in sorted(_direct(source.folder))])
    for pin in pins.values():
        bom.register_dependency(components[pin.name], [components[name] for name in _requires(pin)])
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    return Document(f"{text}\n", {pin.name: pin.version for pin in pins.values()})


def pinned_for(lock: Path, environment: Mapping[str, str]) -> dict[str, Pinned]:
    """By name, what the lock installs there; the extras of a package's lines are joined."""
    found: dict[str, Pinned] = {}
    for pin in read_lock(lock):
        if pin.marker is None or pin.marker.evaluate(dict(environment)):
            before = found.get(pin.name, pin)
            found[pin.name] = replace(pin, extras=pin.extras | before.extras)
    return found


def _component(pin: Pinned, hashes: list[str]) -> Component:
    purl = PackageURL("pypi", None, pin.name, pin.version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{pin.name}/{pin.version}/#files"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one) for one in hashes],
    )
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        external_references=[files],
    )


def _hashes(lock: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if start := re.match(r"[A-Za-z0-9._-]+", line):
            files = found.setdefault(canonicalize_name(start[0]), [])
        files += [one for one in re.findall(r"--hash=sha256:([0-9a-f]{64})", line) if one not in files]
    return found


def _direct(folder: Path) -> set[str]:
    own = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    wishes = map(Requirement, own)
    return {canonicalize_name(one.name) for one in wishes if one.marker is None or one.marker.evaluate(IMAGE)}


def _requires(pin: Pinned) -> Iterator[str]:
    """Names, as the package installed here says it: where the lock has one version for older Pythons and one for newer
    ones, of the version that this Python got.
    """
    for text in distribution(pin.name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(
            requirement.marker.evaluate(IMAGE | {"extra": extra}) for extra in ("", *pin.extras)
        ):
            yield canonicalize_name(requirement.name)


if __name__ == "__main__":
    sys.exit(main())

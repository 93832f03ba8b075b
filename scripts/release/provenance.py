"""How the files of a release were made, as an in-toto statement with a SLSA v1 provenance predicate.

It is not signed: whoever publishes a release signs it with the keys of the house (docs/releasing.md).
https://slsa.dev/spec/v1.0/provenance
"""

import hashlib
import json
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from scripts.release.image import Image
from scripts.release.source import Source

BUILD_TYPE = "https://cinema.example/auth-service/make-release/v1"  # a name; docs/releasing.md says what it means
BY_HAND = "https://cinema.example/auth-service/make-release/by-hand"
_LOCKS = ("requirements.txt", "requirements-otel.txt", "requirements-dev.txt")


def statement(files: Iterable[Path], source: Source, image: Image | None, *, builder: str, address: str) -> str:
    """Without the time of the build, so that who builds the commit again gets the same text."""
    commit = {"digest": {"gitCommit": source.commit}} | ({"uri": f"git+{address}"} if address else {"name": "source"})
    from_what = [commit, *({"name": lock, "digest": {"sha256": digest_of(source.folder / lock)}} for lock in _LOCKS)]
    subjects = [{"name": path.name, "digest": {"sha256": digest_of(path)}} for path in sorted(files)]
    if image is not None:
        subjects.append({"name": f"auth-service:{source.version}", "digest": _sha256(image.id)})
        from_what.append({"name": image.base, "digest": _sha256(image.base_digest)})
    whole = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"commit": source.commit, "version": source.version},
                "internalParameters": {"SOURCE_DATE_EPOCH": source.epoch},
                "resolvedDependencies": from_what,
            },
            "runDetails": {
                "builder": {
                    "id": builder,
                    "version": {
                        "python": platform.python_version(),
                        "setuptools": version("setuptools"),
                        "uv": version("uv"),
                    },
                },
            },
        },
    }
    return f"{json.dumps(whole, indent=2)}\n"


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}

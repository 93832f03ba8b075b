"""The container image: built, tried, and saved into an archive."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.release import archive, trial
from scripts.release.source import ReleaseError, Source

BASE = "python:3.13-slim"


@dataclass(frozen=True)
class Image:
    archive: Path
    id: str  # sha256:… of its configuration, which Docker calls the image's id
    base: str
    base_digest: str


def engine_is_there() -> bool:
    return shutil.which("docker") is not None and _docker("info", check=False).returncode == 0


def find_base(asked: str | None) -> tuple[str, str]:
    """What the Dockerfile shall build on, and its digest: by digest where the engine knows it."""
    name = asked or BASE
    if _docker("image", "inspect", name, check=False).returncode != 0:
        _docker("pull", "--quiet", name)
    found = json.loads(_docker("image", "inspect", name).stdout)[0]
    digests = found.get("RepoDigests") or []
    return (digests[0], digests[0].rpartition("@")[2]) if digests else (name, found["Id"])


def build(source: Source, out: Path, *, base: str | None = None, address: str = "") -> Image:
    """For this machine's architecture. `address` is where the source can be read, for the label."""
    name, digest = find_base(base)
    tag = f"auth-service:{source.version}"
    arguments = {
        "PYTHON_IMAGE": name,
        "VERSION": source.version,
        "REVISION": source.commit,
        "SOURCE": address,
        "SOURCE_DATE_EPOCH": str(source.epoch),  # BuildKit knows it; the classic builder passes over it
    }
    given = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
    # No layer of an earlier build: what is released comes from the files of the commit.
    _docker("build", "--no-cache", "--target", "service", *given, "--tag", tag, source.folder)
    architecture = json.loads(_docker("image", "inspect", tag).stdout)[0]["Architecture"]
    path = out / f"auth-service-{source.version}-linux-{architecture}.tar"
    with tempfile.TemporaryDirectory() as scratch:
        saved = Path(scratch) / "saved.tar"
        _docker("save", "--output", saved, tag)
        identity = archive.rewrite(saved, path, tag, source.epoch)
    return Image(path, identity, name, digest)


def try_image(image: Image, packages: dict[str, str]) -> None:
    """What the archive holds is loaded, compared with the SBOM, and started against new stores."""
    _docker("load", "--quiet", "--input", image.archive)
    limits = ["--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "host"]  # noqa: S108  its own
    trial.same_packages(["docker", "run", *limits, image.id, "python"], packages)
    settings = [part for name in ("DATABASE_URL", "REDIS_URL", "PORT", "DRAIN_SECONDS") for part in ("--env", name)]
    with tempfile.TemporaryDirectory() as folder:
        trial.try_service(["docker", "run", *limits, *settings, image.id, "auth-service"], Path(folder))


def _docker(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    words = [str(argument) for argument in arguments]
    ran = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if check and ran.returncode != 0:
        raise ReleaseError(f"docker {words[0]} ended with {ran.returncode}:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return ran

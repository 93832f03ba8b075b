"""The image of a release: the same archive from two builds, and the service runs from it. It takes some minutes."""

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scripts.release import image, sbom
from scripts.release.image import Image
from scripts.release.source import SERVICE_VERSION, Source
from tests.support.release import working_copy

VERSION = f"0.0.0.dev{os.getpid()}"  # nobody's tag

pytestmark = pytest.mark.skipif(not image.engine_is_there(), reason="needs a Docker engine that runs: docker")


@dataclass
class Built:
    source: Source
    first: Image
    second: Image


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("image")
    images = []
    try:
        for name in ("first", "second"):
            copy = working_copy(folder / name)
            code = copy / SERVICE_VERSION
            code.write_text(re.sub('__version__ = ".*"', f'__version__ = "{VERSION}"', code.read_text()))
            out = folder / f"{name}-out"
            out.mkdir()
            source = Source(copy, "c" * 40, 1_790_000_000)
            images.append(image.build(source, out))
        yield Built(source, *images)
    finally:
        subprocess.run(["docker", "rmi", "--force", f"auth-service:{VERSION}"], capture_output=True, check=False)


def test_two_builds_are_one_image(built: Built) -> None:
    assert built.first.id == built.second.id
    assert built.first.archive.read_bytes() == built.second.archive.read_bytes()


def test_the_image_says_what_it_is(built: Built) -> None:
    with tarfile.open(built.first.archive) as archive:
        member = archive.extractfile(f"blobs/sha256/{built.first.id.removeprefix('sha256:')}")
        assert member is not None
        config = json.load(member)["config"]
    assert config["Labels"] == {
        "org.opencontainers.image.title": "auth-service",
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.revision": "c" * 40,
    }
    assert config["User"] == "10001:10001"


def test_sec_4_the_image_has_what_the_sbom_lists_and_runs(built: Built) -> None:
    image.try_image(built.first, sbom.describe(built.source).packages)

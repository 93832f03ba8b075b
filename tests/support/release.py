"""What the tests of a release begin with: a copy of what is built, and an image as `docker save` writes it."""

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

from tests.conftest import ROOT

PARTS = (
    *("auth_service", "alembic", "alembic.ini", "clients", "scripts", "pyproject.toml", "setup.py", "MANIFEST.in"),
    *("Dockerfile", ".dockerignore", "README.md", "NOTICE"),
)
LAYER = b"the files of a layer"


def working_copy(folder: Path) -> Path:
    """Of the tree as it is, with today's time on every file."""
    folder.mkdir()
    leftovers = shutil.ignore_patterns("__pycache__", "build", "dist", "*.egg-info")
    for path in [*map(ROOT.joinpath, PARTS), *ROOT.glob("requirements*.txt")]:
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=leftovers, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(path, folder / path.name)
    (folder / "scripts" / "install.sh").chmod(0o755)
    return folder


def docker_save(path: Path, times: str = "2026-01-01T00:00:00Z", layer: bytes = LAYER) -> Path:
    """Two of them differ in what the classic builder leaves there of the build."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": times,
        "container": hashlib.sha256(times.encode()).hexdigest(),
        "docker_version": "28.2.2",
        "config": {
            "Hostname": times[-8:],
            "Image": times,
            "User": "10001",
            "Labels": {"org.opencontainers.image.version": "1.2.3", "org.opencontainers.image.source": ""},
        },
        "history": [{"created": times, "created_by": "COPY"}],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(LAYER).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": ["auth-service:1.2.3"], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as saved:
        for name, content in {**files, "layer.tar": layer}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            saved.addfile(member, io.BytesIO(content))
    return path

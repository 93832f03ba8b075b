"""sdist and wheel, the same bytes from each build of a commit.

The wheel is made from the sdist, so that an sdist which lacks a file does not go unnoticed. setuptools is the one that
requirements-dev.txt pins: nothing is looked for in an index.
"""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from scripts.release.source import ReleaseError


def build(project: Path, out: Path, epoch: int) -> tuple[Path, Path]:
    """Paths of sdist and wheel in `out`, which may hold others; `project` gets setuptools' leftovers."""
    before = set(out.iterdir())
    _uv_build(project, "--sdist", out, epoch)
    (sdist,) = (path for path in set(out.iterdir()) - before if path.name.endswith(".tar.gz"))
    _normalise(sdist, epoch)
    _uv_build(sdist, "--wheel", out, epoch)
    (wheel,) = (path for path in set(out.iterdir()) - before if path.suffix == ".whl")
    return sdist, wheel


def _uv_build(source: Path, kind: str, out: Path, epoch: int) -> None:
    uv = Path(sys.executable).with_name("uv")
    options = ["--quiet", "--offline", "--no-build-isolation", "--no-create-gitignore", "--python", sys.executable]
    built = subprocess.run(
        [uv, "build", *options, kind, "--out-dir", out, source],
        env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"},
        umask=0o022,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise ReleaseError(f"{source.name}: uv build {kind} ended with {built.returncode}:\n{built.stderr[-2000:]}")


def _normalise(sdist: Path, epoch: int) -> None:
    """setuptools writes who built it and when; a wheel it writes by SOURCE_DATE_EPOCH."""
    packed = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    sdist.write_bytes(gzip.compress(packed.getvalue(), mtime=epoch))

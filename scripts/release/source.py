"""The commit that is released: its files, its version and its time, and nothing that lies beside them."""

import io
import os
import re
import subprocess
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scripts.check_locks import ROOT

_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
SERVICE_VERSION = Path("auth_service") / "__init__.py"
CLIENT_VERSION = Path("clients") / "python" / "auth_service_client" / "version.py"


class ReleaseError(Exception):
    """Its text says to whoever releases what is wrong and what to do."""


@dataclass(frozen=True)
class Source:
    folder: Path
    commit: str
    epoch: int  # when the commit was made, in seconds: SOURCE_DATE_EPOCH of all that is built

    @property
    def version(self) -> str:
        return version_in(self.folder / SERVICE_VERSION)

    @property
    def made_at(self) -> datetime:
        return datetime.fromtimestamp(self.epoch, UTC)


def unpack(folder: Path) -> Source:
    """HEAD without the work tree, so that no file that git does not know can get into a release.

    Raises ReleaseError where the two differ, as what was tried would not be what is released.
    """
    if changed := git("status", "--porcelain"):
        raise ReleaseError(f"the tree is not clean; commit or remove these first:\n{changed}")
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    for path in folder.rglob("*"):  # git's tar.umask, which is each user's own, must not show in what is built
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return Source(folder, git("rev-parse", "HEAD"), int(git("show", "-s", "--format=%ct", "HEAD")))


def git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise ReleaseError(f"git {arguments[0]} ended with {ran.returncode}: {ran.stderr.strip()}")
    return ran.stdout.strip()


def version_in(path: Path) -> str:
    """Read, not imported: what is imported could be another copy."""
    found = _VERSION.search(path.read_text(encoding="utf-8"))
    if found is None:
        raise ReleaseError(f'{path} has no line __version__ = "…"')
    return found[1]


def top_of_changelog(text: str) -> tuple[str, str]:
    """Version, and the date or "unreleased", of the uppermost section."""
    found = re.search(r"^## (\S+) \((\d{4}-\d{2}-\d{2}|unreleased)\)$", text, re.MULTILINE)
    if found is None:
        raise ReleaseError("CHANGELOG.md has no heading like '## 1.2.0 (2026-05-31)' or '## 1.2.0 (unreleased)'")
    return found[1], found[2]

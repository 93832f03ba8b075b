"""Whatever is required is pinned with its extras; planted locks show what the check finds."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts.check_locks import main, read_lock, unpinned
from scripts.lock import with_plain_pins
from tests.conftest import ROOT

HASH = f"\\\n    --hash=sha256:{'0' * 64}\n"


def test_the_locks_of_today_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("required", "pinned", "finding"),
    [
        ("coverage[toml]>=7.10.6", "coverage[toml]==7.17.3", None),
        ("coverage>=7.10.6", "coverage[toml]==7.17.3", "which is not pinned without an extra"),
        ("Sqlalchemy[asyncio]>=2", "sqlalchemy[asyncio,mypy]==2.1.9 ; python_version >= '3.11'", None),
        ("colorama; sys_platform == 'win32'", "colorama==0.4.6 ; sys_platform == 'win32'", None),
        ("coverage[toml]>=7.10.6", "coverage==7.17.3", "which is not pinned with [toml]"),
        ("coverage[toml]>=7.10.6", "coverage[cli]==7.17.3", "which is not pinned with [toml]"),
        ("coverage[toml]>=8", "coverage[toml]==7.17.3", "and 7.17.3 is pinned"),
        ("coverage>=7", "pytest==9.2.0", "which is not pinned"),
        ("coverage>=7", "coverage==7.17.3 ; python_version < '3.0'", "which is not pinned"),
    ],
)
def test_a_requirement_without_its_pin_is_found(
    tmp_path: Path, required: str, pinned: str, finding: str | None
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"{pinned} {HASH}", encoding="utf-8")
    found = list(unpinned("a package", [Requirement(required)], read_lock(lock)))
    assert found == ([] if finding is None else [f"a package requires {Requirement(required)}, {finding}"])


def test_a_pin_with_an_extra_gets_one_without_it() -> None:
    lock = f"alembic==1 {HASH}coverage[toml]==7 ; python_version < '4' {HASH}sqlalchemy==2 {HASH}"
    plain = f"alembic==1 {HASH}coverage==7 ; python_version < '4' {HASH}"
    assert with_plain_pins(lock) == plain + lock.removeprefix(f"alembic==1 {HASH}")


def test_every_line_of_a_lock_is_read() -> None:
    for lock in ROOT.glob("requirements*.txt"):
        pins = sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines() if not line.startswith(" "))
        assert len(read_lock(lock)) == pins > 50

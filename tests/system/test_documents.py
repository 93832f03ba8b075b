"""What the documentation shows is run, and what it links to exists."""

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest

from auth_service.seed import DEMO_USERS, seed_users
from tests.conftest import ROOT, Fresh

DOCUMENTS = [ROOT / "README.md", ROOT / "README.ru.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("curl") is None, reason="the documents are written with curl, which is not here")
@pytest.mark.parametrize(("name", "shown"), [("quickstart.md", b"grant_expired"), ("account.md", b"waiting_for")])
async def test_what_a_document_shows_runs_against_the_service(fresh: Fresh, name: str, shown: bytes) -> None:
    settings = await fresh.settings()
    await seed_users((await fresh.on(settings)).resources)
    service = await fresh.service(settings, APP_ENV="development")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "scripts" / "run_doc.py"),
        str(ROOT / "docs" / name),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "BASE": service.base_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert shown in output


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_the_files_that_contributors_are_sent_to_are_there() -> None:
    """In the repository, in the package, or in `tests/`; `NNNN` and `…` stand for what is not written yet."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+(?:\.(?:py|md|toml|yml)|/))`", text))
    places = [ROOT, ROOT / "auth_service", ROOT / "tests", *(ROOT / "auth_service").iterdir()]
    places += [ROOT / "auth_service" / "migrations" / "versions", ROOT / "tests" / "pages"]
    anywhere = {"router.py", "service.py", "repository.py", "schemas.py"}
    written = {name for name in named - anywhere if "NNNN" not in name}
    missing = [name for name in written if not any((place / name).exists() for place in places)]
    assert missing == []
    assert len(named) > 50


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_both_readmes_show_the_same_commands_and_accounts(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert [user.email for user in DEMO_USERS if user.email not in text] == []
    other = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
    assert blocks.findall(text) == blocks.findall(other)


def test_the_security_table_and_the_tests_name_the_same_rules() -> None:
    listed = re.findall(r"^\| ([A-Z]{3,4}-\d+) \|", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"), re.M)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    names = re.findall(r"def test_([a-z]{3,4})_(\d+)_", "\n".join(sources))
    tested = {f"{letters.upper()}-{number}" for letters, number in names}
    assert len(listed) == len(set(listed))
    assert set(listed) == tested

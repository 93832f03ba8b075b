"""The version is written once for the service and once for its client; whatever else names it says the same."""

import re
import tomllib

import auth_service_client
import pytest

from auth_service import __version__
from scripts.release.source import CLIENT_VERSION, SERVICE_VERSION, ReleaseError, top_of_changelog, version_in
from tests.conftest import ROOT

NAMED = re.compile(
    r"(?:auth[-_]service[:@=-]{1,2}|auth-service/|newTag: |image\.version=\"?|VERSION=)v?(\d+\.\d+\.\d+)\b"
)


@pytest.mark.parametrize("project", [".", "clients/python"])
def test_pyproject_reads_the_version_from_the_code(project: str) -> None:
    about = tomllib.loads((ROOT / project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in about
    assert "version" in about["dynamic"]


def test_a_release_finds_the_versions_that_the_code_says() -> None:
    assert version_in(ROOT / SERVICE_VERSION) == __version__
    assert version_in(ROOT / CLIENT_VERSION) == auth_service_client.__version__


def test_the_changelog_begins_with_the_version() -> None:
    assert top_of_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[0] == __version__


@pytest.mark.parametrize("top", ["## 1.2.0", "## 1.2.0 (soon)", "## Unreleased", "# 1.2.0 (unreleased)"])
def test_another_heading_of_the_changelog_is_refused(top: str) -> None:
    with pytest.raises(ReleaseError, match="heading"):
        top_of_changelog(f"# Changelog\n\n{top}\n\n- Something.\n")
    assert top_of_changelog("# Changelog\n\n## 1.2.0 (2026-05-31)\n\n## 1.1.0 (2026-01-31)\n") == (
        "1.2.0",
        "2026-05-31",
    )


def test_no_other_version_is_named_anywhere() -> None:
    places = [ROOT / "Dockerfile", *ROOT.glob("*.md"), *ROOT.glob("docker-compose*.yml"), *(ROOT / "docs").glob("*.md")]
    places += [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    found = {
        (path.relative_to(ROOT).as_posix(), named)
        for path in places
        for named in NAMED.findall(path.read_text(encoding="utf-8", errors="replace"))
    }
    assert {named for _, named in found} == {__version__}, found
    assert {"docs/kubernetes.md", "deploy/kubernetes/example/settings/kustomization.yaml"} <= {
        path for path, _ in found
    }

"""What a release is made of and says of itself; builds are in the long tier, the image is in tests/operations."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts.release import archive, distributions, provenance, sbom, source, trial
from scripts.release.__main__ import _address, main
from scripts.release.image import Image
from scripts.release.source import ReleaseError, Source
from tests.conftest import ROOT
from tests.support.release import docker_save, working_copy

COMMIT = Source(ROOT, "c" * 40, 1_790_000_000)


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@cinema.example")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small one, in the place of ours."""
    if shutil.which("git") is None:
        pytest.skip("needs a program that pip cannot give: git")
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "code.py").write_text("it works\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o700)
    (folder / ".gitignore").write_text("secret.env\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "All")
    (folder / "secret.env").write_text("SECRET_KEY=of-a-developer\n")
    monkeypatch.setattr(source, "ROOT", folder)
    return folder


def test_a_release_has_the_files_of_the_commit_and_no_other(repository: Path, tmp_path: Path) -> None:
    """Their modes are the same whatever the umask of whoever releases."""
    git(repository, "config", "tar.umask", "0077")
    folder = tmp_path / "source"
    folder.mkdir()
    taken = source.unpack(folder)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"code.py": 0o644, "run": 0o755, ".gitignore": 0o644}
    assert re.fullmatch("[0-9a-f]{40}", taken.commit)
    assert abs(taken.made_at.timestamp() - (repository / "code.py").stat().st_mtime) < 60


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_a_tree_that_is_not_clean_is_refused(repository: Path, tmp_path: Path, name: str) -> None:
    (repository / name).write_text("it worked\n")
    with pytest.raises(ReleaseError, match=f"not clean(.|\n)*{name}"):
        source.unpack(tmp_path)


def test_sec_4_the_sbom_has_each_package_of_the_lock_and_no_other() -> None:
    document = sbom.describe(COMMIT)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.text) is None
    found = json.loads(document.text)
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)([^\n]*)", lock, re.MULTILINE)
    elsewhere = re.compile(r"sys_platform == 'win32'|python_(?:full_)?version < '3\.1[123]")
    components = {one["name"]: one for one in found["components"]}
    assert {(name, one["version"]) for name, one in components.items()} == {
        (name, number) for name, number, marker in pinned if not elsewhere.search(marker)
    }
    assert "pytest" not in components
    for one in components.values():
        (files,) = one["externalReferences"]
        assert files["hashes"]
        assert all(f"--hash=sha256:{digest['content']}" in lock for digest in files["hashes"]), one["name"]
    parts = {one["ref"]: set(one.get("dependsOn", ())) for one in found["dependencies"]}
    reached, next_ones = set(), {found["metadata"]["component"]["bom-ref"]}
    while next_ones:
        reached |= next_ones
        next_ones = {part for one in next_ones for part in parts[one]} - reached
    assert reached == parts.keys()  # nothing is in the lock that nothing requires


def test_the_sbom_is_the_same_for_each_architecture_and_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = sbom.describe(COMMIT)
    monkeypatch.setitem(sbom.IMAGE, "platform_machine", "aarch64")
    assert sbom.describe(COMMIT) == first


def test_provenance_names_what_was_made_and_of_what(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"a wheel")
    image = Image(tmp_path / "image.tar", f"sha256:{'1' * 64}", "python@sha256:2", f"sha256:{'2' * 64}")
    asked = {"builder": "https://ci.cinema.example/7", "address": "https://git.cinema.example/auth-service"}
    said = json.loads(provenance.statement(tmp_path.iterdir(), COMMIT, image, **asked))
    assert (said["_type"], said["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    subjects = {one["name"]: one["digest"]["sha256"] for one in said["subject"]}
    assert subjects == {
        "a.whl": "69f51477f05c46bfa5ff0027a1fcde274695311a38adfb85611ffeb93c8b146b",
        f"auth-service:{COMMIT.version}": "1" * 64,
    }
    definition = said["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"commit": COMMIT.commit, "version": COMMIT.version}
    repository, *locks, base = definition["resolvedDependencies"]
    assert repository == {
        "uri": "git+https://git.cinema.example/auth-service",
        "digest": {"gitCommit": COMMIT.commit},
    }
    assert [one["name"] for one in locks] == ["requirements.txt", "requirements-otel.txt", "requirements-dev.txt"]
    assert all(one["digest"]["sha256"] == provenance.digest_of(ROOT / one["name"]) for one in locks)
    assert base["digest"] == {"sha256": "2" * 64}
    assert said["predicate"]["runDetails"]["builder"]["id"] == asked["builder"]


def test_make_release_refuses_in_words(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its options have defaults, and what is refused is no stack trace."""
    (repository / "new.py").write_text("it works\n")
    monkeypatch.setattr(sys, "argv", ["release"])
    assert main() == 1
    assert capsys.readouterr().err.startswith("release: the tree is not clean")


@pytest.mark.parametrize("text", ["git.cinema.example", "https://user:password@git.cinema.example/auth-service"])
def test_what_is_published_has_no_password_in_it(text: str) -> None:
    with pytest.raises(Exception, match="without a name or password"):
        _address(text)


def test_the_archive_of_an_image_does_not_tell_when_and_where_it_was_built(tmp_path: Path) -> None:
    written = []
    for number in (1, 2):
        saved = docker_save(tmp_path / f"saved{number}.tar", times=f"2026-0{number}-01T00:00:00.{number}Z")
        path = tmp_path / f"image{number}.tar"
        written.append((archive.rewrite(saved, path, "auth-service:1.2.3", COMMIT.epoch), path.read_bytes()))
    assert written[0] == written[1]
    with tarfile.open(tmp_path / "image1.tar") as found:
        (for_docker,) = json.loads(found.extractfile("manifest.json").read())  # type: ignore[union-attr]
        config = json.loads(found.extractfile(for_docker["Config"]).read())  # type: ignore[union-attr]
    assert config["created"] == config["history"][0]["created"] == "2026-09-21T14:13:20Z"
    assert config["config"] == {"User": "10001", "Labels": {"org.opencontainers.image.version": "1.2.3"}}


def test_a_layer_that_is_not_what_it_says_is_refused(tmp_path: Path) -> None:
    saved = docker_save(tmp_path / "saved.tar", layer=b"another")
    with pytest.raises(ReleaseError, match="a layer should be"):
        archive.rewrite(saved, tmp_path / "image.tar", "auth-service:1.2.3", COMMIT.epoch)


@pytest.mark.long
@pytest.mark.parametrize("project", [".", "clients/python"])
def test_sdist_and_wheel_are_the_same_from_each_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: str
) -> None:
    """From another folder, at another time, by somebody with another umask in another time zone."""
    found = []
    for name, mask, zone in (("first", 0o022, "UTC"), ("the second one", 0o077, "Asia/Tokyo")):
        copy = working_copy(tmp_path / name)
        out = tmp_path / f"{name} out"
        out.mkdir()
        monkeypatch.setenv("TZ", zone)
        before = os.umask(mask)
        try:
            made = distributions.build(copy / project, out, COMMIT.epoch)
        finally:
            os.umask(before)
        found.append({path.name: path.read_bytes() for path in made})
        shutil.rmtree(copy)
    assert found[0] == found[1]
    assert len(found[0]) == 2


@pytest.mark.long
def test_the_wheel_runs_without_the_repository(tmp_path: Path) -> None:
    """It migrates, serves and says it is ready, beside what requirements.txt pins and nothing else (SEC-4)."""
    copy = working_copy(tmp_path / "copy")
    (tmp_path / "out").mkdir()
    _, wheel = distributions.build(copy, tmp_path / "out", COMMIT.epoch)
    names = zipfile.ZipFile(wheel).namelist()
    versions = {path.name for path in (ROOT / "alembic" / "versions").glob("*.py")}
    assert {Path(name).name for name in names if "migrations/versions/" in name} == versions
    assert [name for name in names if not name.startswith(("auth_service/", "auth_service-"))] == []
    trial.try_service_wheel(wheel, copy)

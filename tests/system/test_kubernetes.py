"""What is in deploy/kubernetes is valid, grants nothing that is not needed, and is what docs/kubernetes.md says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from auth_service.config import Settings
from auth_service.serving import FINISH_SECONDS, LINGER_SECONDS
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.34", "1.37")
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))


def objects(paths: list[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in objects(FILES) if one["kind"] == kind]


PODS = [(one["kind"], one["spec"]["template"]) for one in objects(FILES) if "template" in one["spec"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_file_is_valid(path: Path, version: str) -> None:
    for one in objects([path]):
        kubernetes_validate.validate(one, version, strict=True)


def test_the_validator_refuses_what_is_wrong() -> None:
    (service,) = of_kind("Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**service, "spec": {**service["spec"], "prots": []}}, VERSIONS[0], strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(FOLDER)))
def test_every_kustomization_names_what_is_there(path: Path) -> None:
    (one,) = objects([path])
    named = [*one.get("resources", ()), *one.get("components", ())]
    named += [file for made in one.get("configMapGenerator", ()) for file in made.get("envs", ())]
    assert all((path.parent / name).exists() for name in named)
    beside = {file.name for file in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
    assert beside <= set(named)


@pytest.mark.parametrize(("kind", "pod"), PODS, ids=[kind for kind, _ in PODS])
def test_pods_have_no_root_no_privilege_and_limits(kind: str, pod: dict[str, Any]) -> None:
    """The profile "restricted" of the Pod Security Standards, and a root file system that nobody writes to."""
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all(volume.keys() & {"secret", "emptyDir"} for volume in spec["volumes"])
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == container["resources"]["limits"].keys() == container["resources"]["requests"].keys()
        assert "env" not in container  # a secret in the environment is one that leaks
    assert spec["securityContext"]["runAsUser"] == int(re.findall(r"--uid (\d+)", _dockerfile())[0]), kind


def test_the_service_has_probes_and_time_to_end() -> None:
    (deployment,) = of_kind("Deployment")
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/health/live", "readiness": "/health/ready", "liveness": "/health/live"}
    drain = Settings.model_fields["drain_seconds"].default
    assert spec["terminationGracePeriodSeconds"] > drain + LINGER_SECONDS + FINISH_SECONDS + 5
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= drain
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_every_selector_finds_the_pods() -> None:
    """Labels that a kustomization adds are not in selectors, which nobody may change later."""
    (deployment,) = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (service,) = of_kind("Service")
    (budget,) = of_kind("PodDisruptionBudget")
    selectors = [service["spec"]["selector"], budget["spec"]["selector"]["matchLabels"]]
    selectors += [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [policy["spec"]["podSelector"]["matchLabels"] for policy in of_kind("NetworkPolicy")]
    assert all(selector.items() <= labels.items() for selector in selectors)
    (job,) = of_kind("Job")
    reaching = next(p for p in of_kind("NetworkPolicy") if p["spec"]["policyTypes"] == ["Egress"])
    migrating = job["spec"]["template"]["metadata"]["labels"]
    assert reaching["spec"]["podSelector"]["matchLabels"].items() <= migrating.items()


def test_the_settings_are_settings_and_hold_no_secret() -> None:
    lines = (FOLDER / "config" / "settings.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    names = {name.removesuffix("_FILE").lower() for name in given}
    assert names <= Settings.model_fields.keys()
    secret = {name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)}
    assert not secret & {name.lower() for name in given}
    mounted = {path.rpartition("/")[2] for name, path in given.items() if name.endswith("_FILE")}
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert mounted <= set(re.findall(r"--from-file=([a-z-]+)", page))


def test_the_page_names_every_folder_and_both_versions() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    folders = {path.name for path in FOLDER.iterdir()}
    assert folders == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert f"Kubernetes {VERSIONS[0]} to {VERSIONS[1]}" in page


def _dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")

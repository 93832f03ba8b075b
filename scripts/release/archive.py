"""An image as one archive, for `docker load` and for tools that read an OCI layout: the same bytes from each build.

The layers are the same by what the Dockerfile does. Their configuration is not: Docker writes there when and in which
container each step ran. So what `docker save` wrote is written anew, with what the OCI image specification knows and
the time of the commit.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from scripts.release.source import ReleaseError

_OCI = "application/vnd.oci.image"
_FIELDS = ("architecture", "os", "variant", "config", "rootfs", "history", "created")
# Healthcheck is Docker's own; who knows only the specification passes over it.
_OF_CONFIG = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
)


def rewrite(saved: Path, archive: Path, tag: str, epoch: int) -> str:
    """The image's id. `saved` is what `docker save` wrote; raises ReleaseError for a layer that is not what it says."""
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(saved) as old:
        said = json.load(_file(old, "manifest.json"))[0]
        config = _normalise(json.load(_file(old, said["Config"])), epoch)
        layers = []
        for name, expected in zip(said["Layers"], config["rootfs"]["diff_ids"], strict=True):
            path = Path(scratch) / expected.removeprefix("sha256:")
            with path.open("wb") as plain:
                shutil.copyfileobj(_uncompressed(_file(old, name)), plain)
            with path.open("rb") as plain:
                found = hashlib.file_digest(plain, "sha256").hexdigest()
            if f"sha256:{found}" != expected:
                raise ReleaseError(f"a layer should be {expected} and is sha256:{found}")
            layers.append(path)
        return _write(archive, config, layers, tag, epoch)


def _normalise(config: dict[str, Any], epoch: int) -> dict[str, Any]:
    made_at = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = {name: config[name] for name in _FIELDS if name in config}
    kept["config"] = {name: kept["config"][name] for name in _OF_CONFIG if kept["config"].get(name)}
    labels = kept["config"].get("Labels", {})
    kept["config"]["Labels"] = {name: text for name, text in labels.items() if text}  # without what was not given
    # Those of the base image, too: nothing says which they are.
    for step in (kept, *kept.get("history", ())):
        step["created"] = made_at
    return kept


def _write(archive: Path, config: dict[str, Any], layers: list[Path], tag: str, epoch: int) -> str:
    config_bytes = _json(config)
    identity = hashlib.sha256(config_bytes).hexdigest()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _descriptor(f"{_OCI}.config.v1+json", identity, len(config_bytes)),
        "layers": [_descriptor(f"{_OCI}.layer.v1.tar", layer.name, layer.stat().st_size) for layer in layers],
    }
    of_manifest = _json(manifest)
    digest = hashlib.sha256(of_manifest).hexdigest()
    entry = _descriptor(f"{_OCI}.manifest.v1+json", digest, len(of_manifest))
    entry["platform"] = {"architecture": config["architecture"], "os": config["os"]}
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag.partition(":")[2]}
    index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [entry]}
    for_docker = {"Config": _blob(identity), "RepoTags": [tag], "Layers": [_blob(layer.name) for layer in layers]}
    files: dict[str, bytes | Path] = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json(index),
        "manifest.json": _json([for_docker]),
        _blob(identity): config_bytes,
        _blob(digest): of_manifest,
    }
    files |= {_blob(layer.name): layer for layer in layers}
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as new:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mtime = epoch
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
                member.size = stream.seek(0, os.SEEK_END)
                stream.seek(0)
                new.addfile(member, stream)
    return f"sha256:{identity}"


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _file(archive: tarfile.TarFile, name: str) -> BinaryIO:
    member = archive.extractfile(name)
    if member is None:
        raise ReleaseError(f"docker save wrote no {name}")
    return cast(BinaryIO, member)


def _uncompressed(layer: BinaryIO) -> BinaryIO:
    """An engine with containerd's store saves layers as they were pulled."""
    start = layer.read(2)
    layer.seek(0)
    return cast(BinaryIO, gzip.open(layer)) if start == b"\x1f\x8b" else layer

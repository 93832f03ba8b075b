"""`make release`: builds what is released of the commit that is checked out, tries it, and writes what proves it."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from auth_service.embedded.server import EmbeddedError
from scripts.check_locks import ROOT
from scripts.release import distributions, image, provenance, sbom, trial
from scripts.release.image import Image
from scripts.release.source import CLIENT_VERSION, ReleaseError, Source, top_of_changelog, unpack, version_in

T = TypeVar("T")

_VERIFY = """
To verify what is there:        cd {folder} && sha256sum --check SHA256SUMS
That it is made of that commit: git checkout {commit} && make release, and compare SHA256SUMS
docs/releasing.md says more, and how to publish it."""


def main() -> int:
    options = _options()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            release(Path(scratch), options)
    except (ReleaseError, EmbeddedError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make release ARGS=…", description=__doc__)
    parser.add_argument("--builder", default=provenance.BY_HAND, type=_address, help="URI that names what builds")
    parser.add_argument("--source", type=_address, help="where the repository is, for label and provenance")
    parser.add_argument("--base", help=f"the base image, by digest for instance ({image.BASE})")
    parser.add_argument("--no-image", action="store_true", help="no image, even if there is a Docker engine")
    return parser.parse_args()


def _address(text: str) -> str:
    parts = urlsplit(text)
    if not parts.scheme or "@" in parts.netloc:  # it is published: no password in it
        raise argparse.ArgumentTypeError("give a URI with its scheme and without a name or password in it")
    return text


def release(scratch: Path, options: argparse.Namespace) -> None:
    """Replaces `dist/<version>/`, and only when all of it is made and tried."""
    source = _step("taking the files of the commit", lambda: unpack(_new(scratch / "source")))
    _say_which(source)
    out = _new(scratch / "out")
    client = source.folder / "clients" / "python"
    of_service = _step("sdist and wheel", lambda: distributions.build(source.folder, out, source.epoch))
    of_client = _step("sdist and wheel of the client", lambda: distributions.build(client, out, source.epoch))
    document = _step("SBOM", lambda: sbom.describe(source))
    (out / f"auth-service-{source.version}.cdx.json").write_text(document.text, encoding="utf-8")
    for lock in ("requirements.txt", "requirements-otel.txt"):
        shutil.copyfile(source.folder / lock, out / lock)
    _step("trying the wheel", lambda: trial.try_service_wheel(of_service[1], source.folder))
    client_version = version_in(source.folder / CLIENT_VERSION)
    _step("trying the client's wheel", lambda: trial.try_client_wheel(of_client[1], source.folder, client_version))
    made = _image(scratch, out, options, document.packages)
    text = provenance.statement(out.iterdir(), source, made, builder=options.builder, address=options.source or "")
    (out / "provenance.json").write_text(text, encoding="utf-8")
    sums = "".join(f"{provenance.digest_of(path)}  {path.name}\n" for path in sorted(out.iterdir()))
    (out / "SHA256SUMS").write_text(sums, encoding="utf-8")
    _publish(out, ROOT / "dist" / source.version)
    print(f"\n{sums}", end="")
    if made is not None:
        print(f"image id {made.id}")
    print(_VERIFY.format(folder=f"dist/{source.version}", commit=source.commit))


def _image(scratch: Path, out: Path, options: argparse.Namespace, packages: dict[str, str]) -> Image | None:
    if options.no_image or not image.engine_is_there():
        print(f"==> no image: {'as asked' if options.no_image else 'no Docker engine runs here'}", flush=True)
        return None
    clean = unpack(_new(scratch / "context"))  # no build of a wheel has written to it
    made = _step("image", lambda: image.build(clean, out, base=options.base, address=options.source or ""))
    if "@" not in made.base:
        print(f"    {made.base} has no digest in this engine: elsewhere the image can be another")
    _step("trying the image", lambda: image.try_image(made, packages))
    return made


def _say_which(source: Source) -> None:
    version, when = top_of_changelog((source.folder / "CHANGELOG.md").read_text(encoding="utf-8"))
    if version != source.version:
        raise ReleaseError(f"CHANGELOG.md begins with {version}, and the code says {source.version}")
    print(f"    auth-service {source.version} of {source.commit}, {source.made_at:%Y-%m-%d %H:%M} UTC")
    if when == "unreleased":
        print("    a rehearsal: CHANGELOG.md still says that it is unreleased")


def _publish(out: Path, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(out, folder)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _step(what: str, do: Callable[[], T]) -> T:
    print(f"==> {what}", flush=True)
    started = time.monotonic()
    result = do()
    print(f"    done in {time.monotonic() - started:.0f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())

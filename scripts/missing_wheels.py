"""Names the locked packages that have no wheel for a Python and a platform: `make wheels`, which asks the index."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.markers import default_environment

from scripts.check_locks import ROOT, Pinned, read_lock

PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
PLATFORMS = {
    "x86_64-manylinux_2_28": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "aarch64-manylinux_2_28": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "aarch64-apple-darwin": {"sys_platform": "darwin", "platform_machine": "arm64"},
}


def main() -> int:
    production = {pinned.name for pinned in read_lock(ROOT / "requirements.txt")}
    locked = read_lock(ROOT / "requirements-dev.txt")
    for platform, about in PLATFORMS.items():
        for python in PYTHONS:
            environment = (
                default_environment() | about | {"python_version": python, "python_full_version": f"{python}.0"}
            )
            wanted = [one for one in locked if one.marker is None or one.marker.evaluate(environment)]
            with ThreadPoolExecutor(8) as pool:
                found = pool.map(lambda one: _has_wheel(one, python, platform), wanted)  # noqa: B023
                missing = [one for one, has in zip(wanted, found, strict=True) if not has]
            words = [f"{one.name} ({'runs' if one.name in production else 'development'})" for one in missing]
            print(f"{platform} {python}: {', '.join(words) or 'a wheel for each'}", flush=True)
    return 0


def _has_wheel(pinned: Pinned, python: str, platform: str) -> bool:
    uv = Path(sys.executable).with_name("uv")
    asked = [uv, "pip", "install", "--dry-run", "--quiet", "--no-deps", "--only-binary", ":all:"]
    with TemporaryDirectory() as target:  # uv writes its lock file there even when it only looks
        options = ["--target", target, "--python-version", python, "--python-platform", platform]
        wanted = f"{pinned.name}=={pinned.version}"
        return subprocess.run([*asked, *options, wanted], check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())

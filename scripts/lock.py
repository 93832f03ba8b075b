"""Resolves the requirements into the three locks: `make lock`. Options go to uv, such as `--upgrade`."""

import re
import subprocess
import sys
from pathlib import Path

from scripts.check_locks import LOCKS, ROOT

_COMPILE = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
_STYLE = ["--no-strip-extras", "--no-annotate", "--no-header"]
_WITH_EXTRAS = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)\[[^\]]+\](?P<rest>==[^\n]*\n(?:    --hash=[^\n]*\n)+)", re.MULTILINE
)


def main() -> int:
    base = next(iter(LOCKS))
    for name, extras in LOCKS.items():
        chosen = [part for extra in extras for part in ("--extra", extra)]
        same = [] if name == base else ["--constraint", base]  # what runs in production is what was tested
        command = [*_COMPILE, *_STYLE, *sys.argv[1:], *chosen, *same, "--output-file", name, "pyproject.toml"]
        subprocess.run([Path(sys.executable).with_name("uv"), *command[1:]], cwd=ROOT, check=True)
        lock = ROOT / name
        lock.write_text(with_plain_pins(lock.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def with_plain_pins(lock: str) -> str:
    """`name[extra]==1` gets `name==1` before it: pip holds the two to be different, and looks for the newest `name`
    where a package requires it without the extra.
    """
    return _WITH_EXTRAS.sub(lambda match: f"{match['name']}{match['rest']}{match[0]}", lock)


if __name__ == "__main__":
    sys.exit(main())

"""Runs the bash blocks of a Markdown file as one script: `python scripts/run_doc.py docs/quickstart.md`."""

import re
import subprocess
import sys
from pathlib import Path

_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script_of(document: str) -> str:
    """All bash blocks in their order; the script stops at the first command that fails."""
    return "set -euo pipefail\n" + "\n".join(_BLOCK.findall(document))


def main() -> int:
    path = Path(sys.argv[1])
    finished = subprocess.run(["bash", "-c", script_of(path.read_text(encoding="utf-8"))], check=False)
    print(f"\n{path}: {'every block ran' if finished.returncode == 0 else 'a block failed'}", file=sys.stderr)
    return finished.returncode


if __name__ == "__main__":
    sys.exit(main())

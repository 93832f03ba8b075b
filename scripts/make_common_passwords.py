"""Makes auth_service/core/passwords/common_passwords.txt.gz from the lists in two packages; NOTICE has their licences.

pip download --no-deps --dest build/lists django==5.2.19 zxcvbn==4.5.0
python scripts/make_common_passwords.py build/lists/*.whl
"""

import ast
import gzip
import sys
import unicodedata
import zipfile
from collections.abc import Iterable
from pathlib import Path

TARGET = Path(__file__).parent.parent / "auth_service" / "core" / "passwords" / "common_passwords.txt.gz"
MIN_LENGTH = 8  # shorter ones are refused for their length
DJANGO, ZXCVBN = "django/contrib/auth/common-passwords.txt.gz", "zxcvbn/frequency_lists.py"


def passwords_of(wheel: Path) -> Iterable[str]:
    with zipfile.ZipFile(wheel) as archive:
        if DJANGO in archive.namelist():
            return gzip.decompress(archive.read(DJANGO)).decode().splitlines()
        if ZXCVBN in archive.namelist():
            return _zxcvbn_list(archive.read(ZXCVBN).decode())
    sys.exit(f"{wheel}: neither Django nor zxcvbn")


def _zxcvbn_list(source: str) -> list[str]:
    """FREQUENCY_LISTS = {"passwords": "…,…".split(","), …}, read without running it."""
    (assignment,) = ast.parse(source).body
    lists = assignment.value  # type: ignore[attr-defined]
    texts = {key.value: call.func.value.value for key, call in zip(lists.keys, lists.values, strict=True)}
    return str(texts["passwords"]).split(",")


def main() -> None:
    found = {
        unicodedata.normalize("NFC", password).casefold()
        for wheel in sys.argv[1:]
        for password in passwords_of(Path(wheel))
    }
    kept = sorted(password for password in found if len(password) >= MIN_LENGTH)
    # Without a time and a name in the file, the same lists make the same bytes.
    TARGET.write_bytes(gzip.compress("\n".join(kept).encode(), compresslevel=9, mtime=0))
    print(f"{len(kept)} passwords, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

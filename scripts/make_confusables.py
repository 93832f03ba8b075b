"""Makes auth_service/core/confusables.txt.gz from Unicode's own data file; NOTICE has its licence.

curl -o build/confusables.txt https://www.unicode.org/Public/17.0.0/security/confusables.txt
python scripts/make_confusables.py build/confusables.txt

What is stored of logins was made with the file of that day: a newer one comes with a migration that sets
`login_looks.look` to null, in batches, so that `auth-service migrate` makes them anew.
"""

import gzip
import re
import sys
import unicodedata
from pathlib import Path

TARGET = Path(__file__).parent.parent / "auth_service" / "core" / "confusables.txt.gz"
_LINE = re.compile(r"(?P<source>[0-9A-F]+) ;\t(?P<target>[0-9A-F ]+?) ?;\tMA\t")
_VERSION = re.compile(r"^# Version: (\S+)$", re.MULTILINE)
_SMALL_CAPITAL = re.compile(r"LATIN LETTER SMALL CAPITAL ([A-Z])")


def read(text: str) -> dict[str, str]:
    """Each character with what it is taken for."""
    lines = filter(None, map(_LINE.match, text.splitlines()))
    return {chr(int(line["source"], 16)): "".join(map(_char, line["target"].split())) for line in lines}


def small_capitals(known: dict[str, str]) -> dict[str, str]:
    """Unicode keeps ᴀ apart from a, and takes м for ᴍ: to people, who write logins in either case, they are letters."""
    found = {}
    for code in range(0x250, 0x10000):
        if (name := _SMALL_CAPITAL.fullmatch(unicodedata.name(chr(code), ""))) is not None:
            stands_for = known.get(chr(code), chr(code))
            if not stands_for.isascii():
                found |= {chr(code): name[1].lower(), stands_for: name[1].lower()}
    return found


def resolved(table: dict[str, str]) -> dict[str, str]:
    """Until nothing changes: a reader looks each character up once."""
    while True:
        further = {
            source: "".join(table.get(char, char) for char in unicodedata.normalize("NFD", target))
            for source, target in table.items()
        }
        if further == table:
            return table
        table = further


def _char(code: str) -> str:
    return chr(int(code, 16))


def main() -> None:
    text = Path(sys.argv[1]).read_text(encoding="utf-8-sig")
    version = _VERSION.search(text)
    if version is None:
        sys.exit(f"{sys.argv[1]}: no confusables.txt of Unicode")
    known = read(text)
    table = resolved(known | small_capitals(known))
    lines = [f"Unicode {version[1]}", *(source + table[source] for source in sorted(table))]
    # Without a time and a name in the file, the same list makes the same bytes.
    TARGET.write_bytes(gzip.compress("\n".join(lines).encode(), compresslevel=9, mtime=0))
    print(f"Unicode {version[1]}: {len(table)} characters, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

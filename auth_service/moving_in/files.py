"""Which kind of file it is, and its accounts."""

from enum import StrEnum
from pathlib import Path

import orjson

from auth_service.moving_in.csv_file import read_csv
from auth_service.moving_in.dumpdata import read_dump
from auth_service.moving_in.newcomers import Plan
from auth_service.moving_in.realm_export import read_realm

_BOM = b"\xef\xbb\xbf"


class Format(StrEnum):
    CSV = "csv"
    KEYCLOAK = "keycloak"
    DJANGO = "django"


class Encoding(StrEnum):
    UTF_8 = "utf-8"
    CP1251 = "cp1251"


def read_file(
    plan: Plan, path: Path, form: Format | None, *, encoding: Encoding = Encoding.UTF_8, ignore_columns: bool = False
) -> None:
    """Fills the plan. Without `form` by its beginning: `{` of a realm, `[` of a dump. The last two are for CSV."""
    form = form or _guessed(path)
    if form is Format.CSV:
        read_csv(plan, path, encoding=encoding, ignore_columns=ignore_columns)
        return
    try:
        content = orjson.loads(path.read_bytes().removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        plan.problems.append(f"line {error.lineno}, column {error.colno}: this is not JSON")
        return
    if form is Format.KEYCLOAK and isinstance(content, dict):
        read_realm(plan, content)
    elif form is Format.DJANGO and isinstance(content, list):
        read_dump(plan, content)
    else:
        plan.problems.append(f"line 1: this is not a file of {form}")


def _guessed(path: Path) -> Format:
    with path.open("rb") as file:
        start = file.read(1000).removeprefix(_BOM).lstrip()
    return {b"{": Format.KEYCLOAK, b"[": Format.DJANGO}.get(start[:1], Format.CSV)

"""A table of accounts, one a line: separated by commas, semicolons or tabs, as the first line shows."""

import csv
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path

from auth_service.moving_in.newcomers import Draft, Plan, moment

REQUIRED = ("email", "password_hash")
COLUMNS = ("login", *REQUIRED, "full_name", "roles", "email_verified", "is_active", "created_at")
_NULLS = {"NULL", "\\N"}  # as MySQL's and PostgreSQL's tools write it in a table with tabs
_TRUTH = {"true": True, "1": True, "yes": True, "t": True, "false": False, "0": False, "no": False, "f": False}


def read_csv(plan: Plan, path: Path, *, encoding: str = "utf-8", ignore_columns: bool = False) -> None:
    """Reads the whole file. `ignore_columns`: leaves out what we have no column for."""
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    with path.open(encoding=codec, newline="") as file:
        try:
            first = file.readline()
        except UnicodeDecodeError:
            plan.problems.append(f"line 1: this is not text in {encoding}; give the --encoding")
            return
        delimiter = delimiter_of(first)
        reader = csv.reader(again(first, file), delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if complaint := _wrong_header(header, ignore_columns=ignore_columns):
                plan.problems.append(f"line 1: {complaint}")
                return
            for cells in reader:
                if cells:
                    # As an editor counts: empty lines and line breaks in a field are lines too.
                    plan.add(f"line {reader.line_num}", partial(_draft, header, cells, tabs=delimiter == "\t"))
        except (csv.Error, UnicodeDecodeError) as error:
            what = f"not a CSV file in {encoding} ({type(error).__name__})"
            plan.problems.append(f"after line {reader.line_num}: {what}")


def delimiter_of(first: str) -> str:
    """As the first line shows."""
    return max(",;\t", key=first.count)


def again(first: str, file: Iterator[str]) -> Iterator[str]:
    """All lines of a file whose first one was read."""
    yield from StringIO(first, newline="")
    yield from file


def _wrong_header(header: list[str], *, ignore_columns: bool) -> str | None:
    """Names no column that is not ours: without a header, the first line is an account with its hash."""
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        return f"the columns must be named here, and there is no {missing[0]}; known are {', '.join(COLUMNS)}"
    unknown = [str(number) for number, name in enumerate(header, 1) if name not in COLUMNS]
    if unknown and not ignore_columns:
        return (
            f"columns that are not known: number {', '.join(unknown)}; known are {', '.join(COLUMNS)};"
            " --ignore-columns leaves the others out"
        )
    doubles = [name for name in COLUMNS if header.count(name) > 1]
    return f"two columns are named {doubles[0]}" if doubles else None


def _draft(header: list[str], cells: list[str], *, tabs: bool) -> Draft:
    if len(cells) != len(header):
        raise ValueError("has another number of fields than the first line")
    row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    if tabs:
        row = {name: "" if value in _NULLS else value for name, value in row.items()}
    return Draft(
        login=row.get("login", ""),
        email=row["email"],
        full_name=row.get("full_name", ""),
        password_hash=row["password_hash"],
        roles=_names(row.get("roles", "")),
        email_verified=_truth(row, "email_verified", unsaid=False),
        is_active=_truth(row, "is_active", unsaid=True),
        created_at=moment(row.get("created_at", "")),
    )


def _names(text: str) -> tuple[str, ...]:
    """A name with spaces is one where there is a `|`."""
    names = text.split("|") if "|" in text else text.split()
    return tuple(name.strip() for name in names if name.strip())


def _truth(row: dict[str, str], name: str, *, unsaid: bool) -> bool:
    text = row.get(name, "").lower()
    if text == "":
        return unsaid
    if text not in _TRUTH:
        raise ValueError(f"{name} must be true or false, 1 or 0, yes or no")
    return _TRUTH[text]

"""A file that names accounts: a name a line, or a table with a column `id`, `login` or `email`."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auth_service.moving_in.csv_file import again, delimiter_of

COLUMNS = ("id", "login", "email")  # of several the first one counts


@dataclass(frozen=True, slots=True)
class Named:
    """`line` as an editor counts."""

    line: int
    name: str


class NoNames(ValueError):
    """What is wrong with the file, in words; nothing of it is repeated."""


def read_names(path: Path, *, most: int) -> list[Named]:
    """Empty lines and fields are left out. Raises NoNames, also for more than `most` names."""
    names: list[Named] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            for named in _names(file):
                if len(names) == most:
                    raise NoNames(f"there are more than {most:,} names; make several files of it")
                names.append(named)
        except (csv.Error, UnicodeDecodeError) as error:
            raise NoNames(f"not a text or CSV file in utf-8 ({type(error).__name__})") from None
    if not names:
        raise NoNames("there is no name in it")
    return names


def _names(file: Iterator[str]) -> Iterator[Named]:
    first = next(file, "")
    delimiter = delimiter_of(first)
    header = [cell.strip().lower() for cell in first.split(delimiter)]
    column = next((header.index(name) for name in COLUMNS if name in header), None)
    if column is None:
        if delimiter in first:
            raise NoNames(f"line 1: name a column {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}")
        for line, text in enumerate(again(first, file), 1):
            if name := text.strip():
                yield Named(line, name)
        return
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    for cells in reader:
        name = cells[column].strip() if column < len(cells) else ""
        if name:
            yield Named(1 + reader.line_num, name)

"""A list as a CSV file: whole, or not there at all."""

import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import typer

from auth_service.admin.csv_list import Lines
from auth_service.commands.running import BAD_SETTING, progress_bar, stop

STANDARD_OUTPUT = "-"


async def write_csv(target: str, lines: Lines, count: Callable[[], Awaitable[int]]) -> None:
    """`count`: of the items that are coming, for the progress bar; `target`: a path, or - for standard output."""
    if target == STANDARD_OUTPUT:
        output = typer.get_binary_stream("stdout")
        async for text, _ in lines:
            output.write(text.encode())
        return
    path = Path(target)
    try:
        # Beside it, so that it can be renamed; only its owner may read it, since it has names and addresses.
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        stop(f"{target}: {error.strerror}", BAD_SETTING)
    try:
        with os.fdopen(handle, "wb") as file, progress_bar() as progress:
            task = progress.add_task("writing", total=await count())
            async for text, items in lines:
                file.write(text.encode())
                progress.advance(task, items)
        os.replace(beside, path)
    except BaseException:  # Ctrl-C too
        os.unlink(beside)
        raise

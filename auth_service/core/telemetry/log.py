"""structlog: colour on a terminal, one JSON line an event otherwise; the request id is bound by the edge."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TextIO

import structlog
from rich.console import Console
from rich.traceback import Traceback

from auth_service.config import Settings
from auth_service.core.telemetry.log_file import DailyFile

_LONG_SEGMENT = re.compile(r"[^/]{41,}")
_TEXT = re.compile(r"[^!-~]|@")
# Where exceptions repeat what they were given: Postgres the whole row, its password hash too (AUD-2), and a value that
# it cannot read; asyncpg an argument, pydantic an input.
_VALUES = re.compile(
    r"""\nDETAIL:.*?(?=\n(?:HINT:|\[SQL)|\Z)
    | (?<=invalid\ input\ for\ query\ argument\ )\$\d+:.*?(?=\ \([^()]*\)\s*(?:\n|\Z)|\n\[SQL|\Z)
    | (?<=:\ )"[^\n]*"(?=\s*(?:\n|\Z))
    | (?<=input_value=).*?(?=,\ input_type=|\Z)""",
    re.DOTALL | re.VERBOSE,
)
_transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def without_details(message: str) -> str:
    """What an exception of Postgres says, without the values in it."""
    return _VALUES.sub("…", message)


def as_dicts(exc_info: structlog.typing.ExcInfo) -> Any:
    return _cleaned(_transform(exc_info))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return without_details(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return {name: _cleaned(item) for name, item in value.items()} if isinstance(value, dict) else value


def print_traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    trace = Traceback.extract(*exc_info, show_locals=False)
    for stack in trace.stacks:
        stack.exc_value = without_details(stack.exc_value)
    stream.write("\n")
    Console(file=stream, color_system="truecolor").print(Traceback(trace))


def _dumps(event: structlog.typing.EventDict, **options: Any) -> str:
    return _encoder(**options).encode(event)


@cache
def _encoder(**options: Any) -> json.JSONEncoder:
    """`json.dumps` makes one for each line, since structlog's has options: a seventh of it."""
    return json.JSONEncoder(**options)


_AS_JSON: list[structlog.typing.Processor] = [
    structlog.processors.ExceptionRenderer(as_dicts),
    structlog.processors.JSONRenderer(serializer=_dumps),
]


def loggable_path(path: str) -> str:
    """The secrets that we give are longer than 40 characters, and some client will put one into an address (EDG-6).

    Nor has any path of ours a mail address or words in it.
    """
    path = _LONG_SEGMENT.sub("…", path)
    if path.isascii() and "@" not in path and " " not in path:
        return path
    return "/".join("…" if _TEXT.search(segment) else segment for segment in path.split("/"))


@dataclass(frozen=True, slots=True)
class _Lines:
    """What one of our events is in each of the outputs; they take it for the standard library's record of it."""

    msg: tuple[str, ...]
    args: tuple[()] = ()  # asked for where it cannot be written


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Of one output, by its `place` among them; what comes from the standard library's loggers is rendered here."""

    def __init__(self, place: int, **options: Any) -> None:
        super().__init__(**options)
        self._place = place

    def format(self, record: "logging.LogRecord | _Lines") -> str:
        return record.msg[self._place] if isinstance(record, _Lines) else super().format(record)


class _Logger:
    """Of structlog, in place of the standard library's: what a record of it costs is twice what the line does."""

    def __init__(self, name: str, handlers: Sequence[logging.Handler]) -> None:
        self.name = name
        self._handlers = handlers

    def write(self, *lines: str) -> None:
        record: Any = _Lines(lines)
        for handler in self._handlers:
            handler.handle(record)

    debug = info = warning = error = critical = write


def configure_logging(settings: Settings) -> None:
    """Once a process; also takes over the standard library's loggers (uvicorn, alembic)."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks without locals: locals hold passwords and tokens (AUD-2).
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    if console:
        last: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(exception_formatter=print_traceback)]
    else:
        last = _AS_JSON
    outputs: list[tuple[logging.Handler, list[structlog.typing.Processor]]] = [
        (logging.StreamHandler(sys.stderr), last)
    ]
    if settings.log_file is not None:
        outputs.append((DailyFile(settings.log_file), _AS_JSON))
    handlers = [handler for handler, _ in outputs]
    for place, (handler, processors) in enumerate(outputs):
        whole = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors]
        handler.setFormatter(_Formatter(place, foreign_pre_chain=shared, processors=whole))
    renderers = [processors for _, processors in outputs]

    def render(logger: Any, method: str, event: structlog.typing.EventDict) -> tuple[tuple[str, ...], dict[str, Any]]:
        return tuple(_rendered(processors, logger, method, event) for processors in renderers), {}

    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=lambda name: _Logger(name, handlers),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(settings.log_level)
    logging.getLogger("uvicorn.access").disabled = True  # its lines hold query strings; ours do not
    tell_what_is_left_out(settings)


def tell_what_is_left_out(settings: Settings) -> None:
    """Of the stores' URLs, without the values."""
    for setting, option, why in settings.options_left_out:
        structlog.get_logger(__name__).info("option_left_out", setting=setting, option=option, why=why)


def _rendered(
    processors: Iterable[structlog.typing.Processor], logger: Any, method: str, event: structlog.typing.EventDict
) -> str:
    value: Any = dict(event)  # each output changes its own
    for processor in processors:
        value = processor(logger, method, value)
    return str(value)

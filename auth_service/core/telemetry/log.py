"""structlog: colour on a terminal, one JSON line an event otherwise; the request id is bound by the edge."""

import logging
import re
import sys
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


_AS_JSON: list[structlog.typing.Processor] = [
    structlog.processors.ExceptionRenderer(as_dicts),
    structlog.processors.JSONRenderer(),
]


def loggable_path(path: str) -> str:
    """The secrets that we give are longer than 40 characters, and some client will put one into an address (EDG-6).

    Nor has any path of ours a mail address or words in it.
    """
    path = _LONG_SEGMENT.sub("…", path)
    if path.isascii() and "@" not in path and " " not in path:
        return path
    return "/".join("…" if _TEXT.search(segment) else segment for segment in path.split("/"))


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
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handlers: list[logging.Handler] = [_handler(logging.StreamHandler(sys.stderr), shared, last)]
    if settings.log_file is not None:
        handlers.append(_handler(DailyFile(settings.log_file), shared, _AS_JSON))
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(settings.log_level)
    logging.getLogger("uvicorn.access").disabled = True  # its lines hold query strings; ours do not
    tell_what_is_left_out(settings)


def tell_what_is_left_out(settings: Settings) -> None:
    """Of the stores' URLs, without the values."""
    for setting, option, why in settings.options_left_out:
        structlog.get_logger(__name__).info("option_left_out", setting=setting, option=option, why=why)


def _handler(
    handler: logging.Handler, shared: list[structlog.typing.Processor], last: list[structlog.typing.Processor]
) -> logging.Handler:
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors))
    return handler

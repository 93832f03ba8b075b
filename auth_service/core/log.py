"""structlog: colour on a terminal, one JSON line an event otherwise; the request id is bound by the edge."""

import logging
import re
import sys

import structlog

from auth_service.config import Settings
from auth_service.core.log_file import DailyFile

_AS_JSON: list[structlog.typing.Processor] = [
    structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    structlog.processors.JSONRenderer(),
]
_LONG_SEGMENT = re.compile(r"[^/]{41,}")


def loggable_path(path: str) -> str:
    """The secrets that we give are longer than 40 characters, and some client will put one into an address (EDG-6)."""
    return _LONG_SEGMENT.sub("…", path)


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
        plain = structlog.dev.RichTracebackFormatter(show_locals=False)
        last: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
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


def _handler(
    handler: logging.Handler, shared: list[structlog.typing.Processor], last: list[structlog.typing.Processor]
) -> logging.Handler:
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors))
    return handler

"""Structured logs on standard error: one event per line, as logfmt or JSON, including events of libraries."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, TextIO, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["logfmt", "json"]
LOG_FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)

_KEY_ORDER = ("ts", "level", "msg", "logger")
_VERBOSE_LOGGERS = ("asyncio", "uvicorn")


def configure_logging(log_format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Send events of structlog and the standard library to `stream` (default: standard error) in one format, in UTC."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Modules create their loggers at import time, which may be before this call.
        cache_logger_on_first_use=False,
    )
    renderer: Processor = structlog.processors.JSONRenderer() if log_format == "json" else _logfmt
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # The key that Prometheus and its exporters use.
                structlog.processors.EventRenamer("msg"),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _VERBOSE_LOGGERS:
        # At level "info" they log every connection.
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else "WARNING")
    logging.captureWarnings(capture=True)


@contextmanager
def warnings_on_standard_error() -> Iterator[None]:
    """Write warnings and errors of this package to standard error: the output of a command may be a table.

    Without it, structlog writes all events to standard output.
    """
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.EventRenamer("msg"), _logfmt],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        # The stream at the time of the event.
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _logfmt(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    keys = [key for key in _KEY_ORDER if key in event] + [key for key in event if key not in _KEY_ORDER]
    return " ".join(f"{key}={_logfmt_value(event[key])}" for key in keys)


def _logfmt_value(value: object) -> str:
    # Quote as JSON, like Go's logfmt: structlog's renderer does not escape carriage returns and control codes.
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text.isprintable() and not any(character in ' ="\\' for character in text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())

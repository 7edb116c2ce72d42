"""The process's own log on standard error, through structlog.

Knows: how a line looks. Must not know: calls. Tracebacks of libraries are cut down to exception types and
code locations: an exception's message, or a frame's locals, could hold what a caller sent.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

LIBRARIES = ("uvicorn.error", "asyncio", "grpc", "grpc._cython.cygrpc", "grpc.aio")


def configure_log(level: str, style: str) -> None:
    """Sets up the one log of this process. `style` is auto, json or text."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_text,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_to_standard_error,
        cache_logger_on_first_use=False,
    )
    handler = _LibraryHandler()
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.ERROR)


def _to_standard_error(*_: object) -> structlog.PrintLogger:
    """What is standard error now: it may have been another one, since closed, when the log was set up."""
    return structlog.PrintLogger(sys.stderr)


class _LibraryHandler(logging.Handler):
    """Hands a library's error to structlog: its logger, its exception's type and place, not its message."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().error("library_error", library=record.name, exception=error)


def _without_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = event.pop("exception", None)
    if isinstance(error, BaseException):
        event["exception"] = type(error).__name__
        event["at"] = [
            f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]
        ]
    return event

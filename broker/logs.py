"""Logging of all processes: one line per event, on stderr."""

from __future__ import annotations

import logging
from typing import Any

import structlog

# The common keys of a line. Events have additional keys, such as `grant` or `error`, which the Monitoring
# guide lists.
SCHEMA = {
    "timestamp": "The time in UTC, as ISO 8601 with microseconds",
    "level": "`debug`, `info`, `warning`, `error` or `critical`",
    "logger": "The module of Stint, or the library, that logged the event",
    "event": "The event: a fixed name such as `revoke.failing`, or the message of a library",
    "request_id": "The ID of the request that caused the event, if any",
    "task": "The worker's task that logged the event, if any",
    "exception": "The traceback, if there is one",
}


def logging_by(*, json: bool, level: str) -> dict[str, Any]:
    """Configure structlog, and return Django's `LOGGING`. ``json``: one JSON object per line, otherwise plain
    text.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "stint": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    renderer,
                ],
            }
        },
        "filters": {
            "queue": {"()": "broker.kernel.outage_log.QueueGone"},
            "database": {"()": "broker.kernel.outage_log.DatabaseGone"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "stint",
                "filters": ["queue", "database"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "asyncssh": {"level": "WARNING"},
            "celery": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "fido2": {"level": "WARNING"},
            "django.request": {"level": "ERROR"},
            "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        },
    }

"""How log lines look: a sentence with fields for people on a terminal, JSON for machines; always on stderr."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

HIDDEN = "***"

# Names of fields that never reach a log line, whoever puts them there.
SECRET_FIELDS = frozenset({"key", "private_key", "secret", "signature", "password", "passphrase", "mnemonic", "url"})


def configure_structlog(*, level: str, as_json: bool) -> None:
    """Set structlog up for this process; may run again."""
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=_on_terminal())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Asked for each line: a test or a supervisor may have replaced stderr.
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of fields that name secrets."""
    for name in SECRET_FIELDS & event.keys():
        event[name] = HIDDEN
    return event


def _on_terminal() -> bool:
    return sys.stderr.isatty()

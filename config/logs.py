"""How log lines look: a sentence with its fields for people on a terminal, JSON for machines; always on stderr.

Django, Daphne and libraries log through the standard library, the engine through structlog: both leave by the same
processors, so that each line has the same shape and the same secrets are hidden.
"""

import logging
import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from config.redaction import Redaction

LEVEL_WIDTH = 8
COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
FIRST = ("timestamp", "level", "event")
"""At the front of a JSON line, where people who read one look."""
OF_REQUESTS = ("django.request", "django.security.")
PLAIN_LAST = ("exception", "stack")
"""Several lines each: below the sentence, as they are."""


class _OnStderr(logging.StreamHandler[Any]):
    """Asks for each line what stderr is: a test or a process supervisor may have replaced it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _AskersMistakes(logging.Filter):
    """What a web client did wrong (4xx) is one line of level warning: scanners must not look like bugs of ours.

    Django tells of a wrong Host header and other suspicious requests as errors, with the whole traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the line where it is such a one; False when the level asked for leaves it out then."""
        if not record.name.startswith(OF_REQUESTS) or not 400 <= getattr(record, "status_code", 0) < 500:
            return True
        record.exc_info = record.exc_text = None
        if record.levelno > logging.WARNING:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return record.levelno >= logging.getLogger().level


def configure_logs(*, level: str, as_json: bool | None, secrets: Iterable[str] = ()) -> None:
    """Set logging up for this process; may run again. `as_json` None: JSON unless stderr is a terminal."""
    if as_json is None:
        as_json = not _on_terminal()
    renderer: Processor = _json_line if as_json else human_line
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Redaction(secrets),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = _OnStderr()
    handler.addFilter(_AskersMistakes())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared[-1:], renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared[:-1]],
        )
    )
    root = logging.getLogger()
    # Daphne has put a plain one there before the settings are read: each line would come twice, once with its secrets.
    for old in [each for each in root.handlers if isinstance(each, _OnStderr) or type(each) is logging.StreamHandler]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)


def human_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """`12:00:01.250 INFO     Shard taken.  shard=0/1 term=3`; a traceback follows on lines of its own."""
    fields = dict(event)
    at, level = str(fields.pop("timestamp", "")), str(fields.pop("level", ""))
    sentence = _on_one_line(str(fields.pop("event", "")))
    below = [str(fields.pop(name)) for name in PLAIN_LAST if fields.get(name)]
    told = "  ".join(part for part in (sentence, _told(fields)) if part)
    return "\n".join([f"{_time_of_day(at)} {_coloured(level)} {told}", *below])


_dumps = structlog.processors.JSONRenderer()


def _json_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    front = {name: event[name] for name in FIRST if name in event}
    return str(_dumps(logger, method, {**front, **event}))


def _told(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items() if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_value(each)}" for name, each in value.items()) + ")"
    if isinstance(value, list | tuple):
        return ",".join(_value(each) for each in value)
    text = _on_one_line(str(value))
    return f'"{text}"' if " " in text else text


def _on_one_line(text: str) -> str:
    """With line breaks and escape codes spelled out: a market's title must not steer the terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _time_of_day(at: str) -> str:
    # 2026-11-21T12:00:01.250000Z: a terminal shows today; machines get the date in JSON.
    return at[11:23] if len(at) > len("2026-11-21T12:00:01.250") else at


def _coloured(level: str) -> str:
    padded = level.upper().ljust(LEVEL_WIDTH)
    colour = COLOURS.get(level.lower())
    if colour is None or not _on_terminal() or os.environ.get("NO_COLOR"):
        return padded
    return f"\x1b[{colour}m{padded}\x1b[0m"


def _on_terminal() -> bool:
    return sys.stderr.isatty()

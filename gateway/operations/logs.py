"""Structured logs without personal data (I5): one JSON object a line, on standard error or in a file.

Nothing is trusted to be harmless:

- Only keys of an allow-list are written; the value of another key is withheld (its name stays, so that one sees what to allow).
- Values are numbers, truth values, short strings, or errors; anything else is withheld. Long runs of digits in texts are masked.
- An exception is written as its class and the places that it passed, without values of variables and without its text; except errors of
  ours, whose text is made safe where they are raised (``safe_detail``).
- Texts of other people's libraries are withheld: asyncio quotes exceptions in them, zeep whole messages. What remains is who spoke, where
  and how loudly, and the constant template if there is one.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final, TextIO

import structlog

ALLOWED: Final = frozenset(
    {
        "at", "attempt", "attempts", "bells", "blocked", "child", "code", "connection", "correlation", "count", "deadline", "delivery",
        "delivery_id", "door", "dropped", "due_at", "duration_s", "epoch", "error", "exception", "fingerprint", "generation",
        "groups", "host", "instance", "key", "key_id", "kid", "lane", "level", "limit", "logger", "message_id", "method",
        "number", "operation", "outcome", "party", "peer", "pid", "place", "port", "process", "processes", "queue", "reason",
        "records", "request_id", "retry_after_s", "revision", "role", "route", "rule", "seconds", "serial", "signal",
        "size_bytes", "state", "status", "stream", "system", "template", "thread", "timestamp", "type", "units", "version",
        "waiting", "where", "worker",
        "block", "checkpoint", "digest", "flow", "case", "step",
    }
)  # fmt: skip
"""Keys whose values may be written: stable codes, names of the configuration, ids that we made, numbers."""

OURS: Final = frozenset({"gateway", "adapters", "message_formats", "certs", "simulators"})
WITHHELD: Final = "[withheld]"
_LONGEST: Final = 300
_DIGITS: Final = re.compile(r"\d(?:[ -]?\d){10,}")
"""As many as the shortest number of a person has (住民票コード: 11 digits)."""
_FREE_TEXT: Final = frozenset({"event", "place", "reason", "rule", "where", "error", "template"})
_STRUCTLOG: Final = "structlog_event"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(
    level: str = "info",
    *,
    json_lines: bool = True,
    stream: TextIO | None = None,
    file: str | None = None,
    allow: Iterable[str] = (),
    **constants: str,
) -> None:
    """Send all logs of this process, of the standard library and of structlog, through the redaction.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; libraries of others never below warning.
        json_lines: or lines for a person at a terminal.
        stream: default standard error.
        file: append to it instead; created for its owner only.
        allow: further keys, of an adapter's own.
        constants: on every line: instance and role.
    """
    handler = _file_handler(file) if file else logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(ALLOWED | frozenset(allow), constants, json_lines=json_lines))
    handler.addFilter(_loud_enough)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _hand_over],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    sys.excepthook = _last_words


def redact(event: Mapping[str, Any], allowed: frozenset[str] = ALLOWED) -> dict[str, Any]:
    """What may be written of a log event: see the module's text."""
    written: dict[str, Any] = {}
    for key, value in event.items():
        if key == "event":
            written[key] = _mask(str(value))
        elif key in allowed:
            written[key] = _value(key, value)
        else:
            written[key] = WITHHELD
    return written


def describe(error: BaseException) -> list[dict[str, Any]]:
    """An exception and its causes, latest first, without anything that it carries: class, places, and the text of our own errors."""
    chain: list[dict[str, Any]] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 8:
        entry: dict[str, Any] = {"class": type(current).__name__, "at": _places(current.__traceback__)}
        if is_ours(current):
            entry["text"] = _mask(str(current))
        if isinstance(current, BaseExceptionGroup):
            entry["members"] = sorted({type(member).__name__ for member in current.exceptions})
        chain.append(entry)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain


def is_ours(error: BaseException) -> bool:
    """An error of our packages whose text is made of a code and a safe detail."""
    return type(error).__module__.partition(".")[0] in OURS and isinstance(getattr(error, "safe_detail", None), str)


def _places(trace: TracebackType | None) -> list[str]:
    frames = [(frame.f_globals.get("__name__", "?"), frame.f_code.co_name, line) for frame, line in traceback.walk_tb(trace)]
    return [f"{module}:{function}:{line}" for module, function, line in frames[-12:]]


def _value(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseException):
        return _mask(str(value)) if is_ours(value) else type(value).__name__
    if isinstance(value, str):
        return _mask(value) if key in _FREE_TEXT else value[:_LONGEST]
    if key == "exception" and isinstance(value, list):
        return value  # made by describe()
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(each, str | int | float) for each in value):
        return [_value(key, each) for each in list(value)[:50]]
    return WITHHELD


def _mask(text: str) -> str:
    return _DIGITS.sub("[digits]", text[:_LONGEST])


def _loud_enough(record: logging.LogRecord) -> bool:
    return _is_our_logger(record.name) or record.levelno >= logging.WARNING


def _is_our_logger(name: str) -> bool:
    return name.partition(".")[0] in OURS


class _Formatter(logging.Formatter):
    def __init__(self, allowed: frozenset[str], constants: Mapping[str, str], *, json_lines: bool) -> None:
        super().__init__()
        self._allowed = allowed
        self._constants = dict(constants)
        self._json_lines = json_lines

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {"event": "", **{key: value for key, value in vars(record).items() if key not in _STANDARD}}
        event.update(event.pop(_STRUCTLOG, {}))
        if _is_our_logger(record.name):
            event["event"] = _our_message(record)
        else:
            event = {"event": "library", "where": f"{record.module}:{record.lineno}"}
            if record.args and isinstance(record.msg, str):
                event["template"] = record.msg
        written = redact(event, self._allowed)
        if record.exc_info and record.exc_info[1] is not None:
            written["exception"] = describe(record.exc_info[1])
        moment = _utc(record.created)
        if self._json_lines:
            line = {"timestamp": moment, "level": record.levelname.lower(), "logger": record.name, **self._constants, **written}
            return json.dumps(line, ensure_ascii=False, default=lambda value: WITHHELD)
        rest = " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in written.items() if key != "event")
        return f"{moment} {record.levelname.lower():7} {written['event']} {rest}".rstrip()


def _hand_over(_: object, __: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """From structlog to the standard library, as one value: its own keys may not be named as those of a log record."""
    message, error = str(event.pop("event", "")), event.pop("exc_info", None)
    event.pop("stack_info", None)
    return (message,), {"exc_info": error, "extra": {_STRUCTLOG: dict(event)}}


def _our_message(record: logging.LogRecord) -> str:
    """The text with its arguments; an argument that is an error is reduced to what may be said of it."""
    if not record.args:
        return str(record.msg)
    arguments = record.args
    if isinstance(arguments, Mapping):
        return str(record.msg) % {key: _argument(value) for key, value in arguments.items()}
    return str(record.msg) % tuple(_argument(value) for value in arguments)


def _argument(value: object) -> object:
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, BaseException):
        return _value("error", value)
    return WITHHELD


def _utc(created: float) -> str:
    return dt.datetime.fromtimestamp(created, tz=dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _file_handler(path: str) -> logging.Handler:
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    return logging.FileHandler(path, encoding="utf-8")


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An exception that nobody caught: Python would print texts and source lines."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("gateway").critical("uncaught", exc_info=(kind, error, trace))

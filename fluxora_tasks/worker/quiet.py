"""Logs of a worker without secrets [celery].

Celery writes the text and the traceback of a failure, and in its fields arguments and results too. A filter on its
loggers, and on ours, hides secrets before any handler sees the record. A record without secrets stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from celery._state import get_current_task

from fluxora_tasks.deadletter.redaction import NOT_SHOWN, Redaction, Secrets
from fluxora_tasks.task.representation import secrets_of_run

#: Loggers with these beginnings; the third and fourth are of the tasks themselves.
_OURS: Final = ("celery", "fluxora_tasks", "py.warnings")
_OF_TASKS: Final = ("celery.task", "celery.redirected")

#: Fields of Celery's records that tell nothing of a message's content.
_FACTS: Final = frozenset({"id", "name", "hostname", "description", "internal", "runtime", "eta"})

_speaking: ContextVar[Callable[[], Secrets] | None] = ContextVar("fluxora_speaking", default=None)
_formatter: Final = logging.Formatter()


@contextmanager
def speaking_of(secrets: Callable[[], Secrets]) -> Iterator[None]:
    """What is logged meanwhile is about a message with these secrets."""
    token = _speaking.set(secrets)
    try:
        yield
    finally:
        _speaking.reset(token)


class Hiding(logging.Filter):
    """Hides secrets in log records: those of the task at hand, and what looks like one."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        try:
            self._hide(record, self._secrets())
        except Exception:  # noqa: BLE001 - the raw text must not get through, and logging must not raise
            record.msg, record.args, record.exc_info, record.exc_text = NOT_SHOWN, (), None, None
        return True

    def _secrets(self) -> Secrets:
        speaking = _speaking.get()
        if speaking is not None:
            return speaking()
        return secrets_of_run(get_current_task(), self._redaction)

    def _hide(self, record: logging.LogRecord, secrets: Secrets) -> None:
        fields = record.args if isinstance(record.args, Mapping) else None
        changed = fields is not None and self._hide_fields(record, fields, secrets)
        if fields is None or not all(isinstance(value, (str, int, float)) for value in fields.values()):
            said = record.getMessage()
            hidden = self._redaction.text(said, secrets)
            if hidden != said:
                record.msg, record.args = hidden, ()
        # formatting costs 120 µs, and Celery's fields have the text of the traceback already
        if record.exc_info and (changed or fields is None or "traceback" not in fields):
            self._hide_traceback(record, secrets)

    def _hide_fields(self, record: logging.LogRecord, fields: Mapping[str, Any], secrets: Secrets) -> bool:
        hidden = {
            name: self._redaction.text(value, secrets) if isinstance(value, str) and name not in _FACTS else value
            for name, value in fields.items()
        }
        if hidden == fields:
            return False
        record.args = hidden
        if getattr(record, "data", None) is fields:
            record.data = hidden
        return True

    def _hide_traceback(self, record: logging.LogRecord, secrets: Secrets) -> None:
        text = _formatter.formatException(record.exc_info)  # type: ignore[arg-type]  # celery gives a tuple
        hidden = self._redaction.text(text, secrets)
        if hidden != text:
            record.exc_info, record.exc_text = None, hidden


_installed: list[tuple[logging.Logger, Hiding]] = []


def hide_in_logs(redaction: Redaction) -> None:
    """Hide secrets in what Celery and this library log in this process from now on."""
    stop_hiding()
    hiding = Hiding(redaction)
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and _is_ours(name):
            logger.addFilter(hiding)
            _installed.append((logger, hiding))


def stop_hiding() -> None:
    """Leave the logs as they were."""
    while _installed:
        logger, hiding = _installed.pop()
        logger.removeFilter(hiding)


def _is_ours(name: str) -> bool:
    return _within(name, _OURS) and not _within(name, _OF_TASKS)


def _within(name: str, tops: tuple[str, ...]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)

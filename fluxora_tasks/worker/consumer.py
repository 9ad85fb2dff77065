"""The consumer's part: messages that never become a request [celery].

Celery acknowledges or rejects them with at most a log line. Here each is published as a dead letter first, and
acknowledged when the broker has that.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from celery import signals
from celery.exceptions import NotRegistered
from celery.utils.objects import Bunch
from kombu.exceptions import ContentDisallowed

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.identity import timed_id
from fluxora_tasks.deadletter.origin import queue_of
from fluxora_tasks.task.tracing import trace_bodies
from fluxora_tasks.worker.capture import Delivery, Reason, dead_letter
from fluxora_tasks.worker.runtime import WorkerRuntime

logger = logging.getLogger(__name__)


class Capturing:
    """Mixed into the application's consumer class, before it."""

    app: Any
    hostname: str
    connection_errors: tuple[type[BaseException], ...]
    event_dispatcher: Any
    call_soon_ack: Callable[..., Any]

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body cannot be decoded, or may not be."""
        kind = Kind.CONTENT_REFUSED if isinstance(exc, ContentDisallowed) else Kind.UNDECODABLE
        self._bury(message, kind, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Decodable, and not a task."""
        self._bury(message, Kind.NOT_A_TASK, None, "the message names no task")
        self._report(lambda: signals.task_rejected.send(sender=self, message=message, exc=None))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task this worker does not know."""
        self._bury(message, Kind.UNKNOWN_TASK, NotRegistered(_text(_headers(message).get("task"))))
        self._report(lambda: self._announce_unknown(message, exc))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task message that cannot be run, or whose content type is refused."""
        kind = Kind.CONTENT_REFUSED if isinstance(exc, ContentDisallowed) else getattr(exc, "kind", Kind.NOT_A_TASK)
        self._bury(message, kind, exc)
        self._report(lambda: signals.task_rejected.send(sender=self, message=message, exc=exc))

    def update_strategies(self) -> None:
        """Celery builds the tracers of pools that run bodies in this process."""
        super().update_strategies()  # type: ignore[misc]
        trace_bodies(self.app, self.hostname)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Celery's handler; what it does not foresee ends the message, not the worker."""
        inner = super().create_task_handler(*args, **kwargs)  # type: ignore[misc]

        def handle(message: Any) -> Any:
            try:
                return inner(message)
            except Exception as exc:
                if self._is_connection_error(exc):
                    raise
                return self._bury(message, Kind.NOT_A_TASK, exc)

        return handle

    def _is_connection_error(self, exc: Exception) -> bool:
        # kombu counts KeyError among the connection errors of Redis: a message without an id would look like one
        return isinstance(exc, self.connection_errors) and not isinstance(exc, (KeyError, ValueError, TypeError))

    def _bury(self, message: Any, kind: Kind, exc: Exception | None, text: str = "") -> None:
        runtime: WorkerRuntime = self.app.fluxora.runtime
        reason = Reason(kind, exc, text, "".join(traceback.format_exception(exc)) if exc is not None else "")
        note = dead_letter(self._delivery(message), reason, datetime.now(UTC))
        logger.error("message %s kept as dead letter %s: %s", note.message_id, note.dead_id, kind)
        runtime.publish(note, lambda: self.call_soon_ack(message.ack_log_error, logger, self.connection_errors))

    def _delivery(self, message: Any) -> Delivery:
        headers = _headers(message)
        return Delivery(
            message=message,
            run_id=timed_id(),
            queue=queue_of(self.app, message),
            task=_text(headers.get("task")),
            task_id=_text(headers.get("id")),
            worker=str(self.hostname),
            redaction=self.app.fluxora.redaction,
            release=self.app.fluxora.settings.release or "",
            grouping=self.app.fluxora.grouping,
        )

    def _announce_unknown(self, message: Any, exc: Exception) -> None:
        """What Celery does for an unknown task, but for its log line, which shows the body."""
        headers, properties = _headers(message), message.properties or {}
        task_id, name = _text(headers.get("id")), _text(headers.get("task"))
        request = Bunch(
            name=name,
            chord=None,
            errbacks=None,
            root_id=headers.get("root_id"),
            correlation_id=properties.get("correlation_id"),
            reply_to=properties.get("reply_to"),
        )
        self.app.backend.mark_as_failure(task_id, NotRegistered(name), request=request)
        if self.event_dispatcher:
            self.event_dispatcher.send("task-failed", uuid=task_id, exception=f"NotRegistered({name!r})")
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=task_id)

    def _report(self, announce: Callable[[], Any]) -> None:
        """Results, events and signals; a fault there changes nothing for the message."""
        try:
            announce()
        except Exception:
            logger.exception("reporting a message that was kept failed")


def capturing_consumer(cls: type) -> type:
    """The consumer class of an application, with capture before it."""
    return cls if issubclass(cls, Capturing) else type(cls.__name__, (Capturing, cls), {"__module__": cls.__module__})


def _headers(message: Any) -> Mapping[str, Any]:
    return message.headers if isinstance(message.headers, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

"""CapturingRequest: a message is settled only after what became of it is on record [celery].

Celery settles through ``acknowledge`` and ``reject``, whatever happened before. Each of the hooks below leaves a note
of what happened; the settling call then publishes the note first. Whatever is put back in the queue leaves none.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, InvalidTaskError, Reject, Retry, Terminated
from celery.worker import state
from celery.worker.request import Request
from celery.worker.state import task_ready

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Kind, Note
from fluxora_tasks.deadletter.identity import DEAD_ID, DEFERRALS, MESSAGE_ID, PUBLISH_ID, timed_id
from fluxora_tasks.deadletter.origin import queue_of
from fluxora_tasks.deadletter.redaction import Secrets
from fluxora_tasks.journal import Ending
from fluxora_tasks.retry.decision import GiveUp, GiveUpReason
from fluxora_tasks.task.outcome import had_its_retries
from fluxora_tasks.task.parameters import parameters_of
from fluxora_tasks.task.representation import representations, secrets_of
from fluxora_tasks.worker.capture import Delivery, Reason, confirmation, dead_letter, reason_of
from fluxora_tasks.worker.chord import can_repair, repair
from fluxora_tasks.worker.deferral import Deferral, put_back
from fluxora_tasks.worker.gate import Verdict
from fluxora_tasks.worker.quiet import speaking_of
from fluxora_tasks.worker.replays import due_after, progress
from fluxora_tasks.worker.runtime import WorkerRuntime
from fluxora_tasks.worker.validation import Malformed, check_headers, check_payload

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: Seconds until a replay comes again that nobody could vouch for, at least and at most.
_COME_AGAIN: Final = (5.0, 10.0)

#: Spreads those that come again.
_CHANCE = Random()  # noqa: S311 - not a secret


class InvalidMessage(InvalidTaskError):  # type: ignore[misc]  # Celery is untyped
    """A task message of a shape that cannot be run, with the kind of dead letter it makes."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class CapturingRequest(Request):  # type: ignore[misc]  # Celery is untyped
    """One delivery of a task message, from its arrival to its settlement."""

    _note: Note | None = None
    _failing = False
    _held = False
    _admitted = False
    _asked_gate = False
    _gate_unavailable = False

    def __init__(self, message: Any, **kwargs: Any) -> None:
        headers = kwargs.get("headers")
        try:
            check_headers(message.headers if headers is None else headers)
            check_payload(kwargs["body"] if kwargs.get("decoded") else message.payload)
        except Malformed as exc:
            raise InvalidMessage(exc.kind, str(exc)) from None
        super().__init__(message, **kwargs)
        self._hide_arguments()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Celery builds one subclass per task, with two methods that do not call super()
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "on_success" in own:
            cls.on_success = _noting_success(own["on_success"])
        if "execute_using_pool" in own:
            cls.execute_using_pool = _noting_start(own["execute_using_pool"])

    # -- what happened ------------------------------------------------------------------------------------------

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The pool reports a failure: keep it before Celery acts on it."""
        with speaking_of(lambda: self.secrets):
            return self._on_failure(exc_info, send_failed_event, return_ok)

    def _on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool, return_ok: bool) -> Any:
        error = error_of(exc_info)
        if isinstance(error, TimeLimitExceeded) and not return_ok:
            return None  # the pool calls on_timeout next; telling it here too would fire the error callbacks twice
        if state.should_terminate:
            self._strike_off()  # a cold shutdown is nobody's crash
        if isinstance(error, Retry):
            self._count_retry()
            with self._going_on(error.when):
                return super().on_failure(exc_info, send_failed_event, return_ok)
        if isinstance(error, Ignore):
            return self._end(
                "ignored",
                lambda: super(CapturingRequest, self).on_failure(exc_info, send_failed_event, return_ok),
                self._confirmation() if self._is_replay else None,
            )
        if isinstance(error, Reject) and error.requeue:
            self._strike_off()
            return super().on_failure(exc_info, send_failed_event, return_ok)
        if isinstance(error, Terminated):
            return super().on_failure(exc_info, send_failed_event, return_ok)
        with self._dying(lambda: reason_of(exc_info, self._kind_without_verdict(error))):
            return super().on_failure(exc_info, send_failed_event, return_ok)

    def on_accepted(self, pid: int, time_accepted: float) -> Any:
        """The pool begins to run it."""
        if self._runtime.in_process:
            self._runtime.started(self._message_id)
        return super().on_accepted(pid, time_accepted)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        """The pool reports a time limit; the hard one ends the run."""
        if soft:
            return super().on_timeout(soft, timeout)
        with self._dying(lambda: Reason(Kind.HARD_TIME_LIMIT, TimeLimitExceeded(timeout))):
            return super().on_timeout(soft, timeout)

    def _announce_revoked(self, reason: str, terminated: bool, signum: int | None, expired: bool) -> Any:
        kind = Kind.EXPIRED if expired else Kind.REVOKED
        with self._dying(lambda: Reason(kind, text=f"task {reason}")):
            return super()._announce_revoked(reason, terminated, signum, expired)

    def _retry_worker_lost(self, exc: BaseException, exc_info: ExceptionInfo) -> bool:
        note, self._note, failing, self._failing = self._note, None, self._failing, False
        with self._going_on(self._task.default_retry_delay):
            sent = bool(super()._retry_worker_lost(exc, exc_info))
            if not sent:
                self._note = None
        if sent:
            self._count_retry()
        else:
            self._note, self._failing = note, failing
        return sent

    def revoked(self) -> bool:
        """Whether not to run: revoked, expired, a second physical copy of a replay, or a killer of workers."""
        if self._is_turned_away() or super().revoked():
            return True
        if self._admitted:
            return False
        self._admitted = True
        if self._is_replay:
            self._repair_chord()
        return bool(self._delivery_info["redelivered"]) and self._is_poison()

    # -- settling -----------------------------------------------------------------------------------------------

    def acknowledge(self) -> None:
        """Tell the broker the message is done with: at once, or after its note is out."""
        if self.acknowledged or self._held:
            return
        if self._note is not None:
            self._hold(self._note)
        else:
            super().acknowledge()

    def reject(self, requeue: bool = False) -> None:
        """Put the message back, or drop it after its note is out."""
        if self.acknowledged or self._held:
            return
        if requeue or not self._is_kept:
            self._note = None
            super().reject(requeue=requeue)
        else:
            self._hold(self._note or self._guarded_note(_rejected_unrun))

    def _hold(self, note: Note) -> None:
        """Publish the note; settle when the broker has it."""
        self._held, self._note = True, None
        settle = functools.partial(self._runtime.ended, self._message_id, None, self._release)
        self._runtime.publish(note, settle)

    @contextmanager
    def _going_on(self, when: Any) -> Iterator[None]:
        """Tell the ledger that a replay comes again, before Celery settles this delivery, or after it did."""
        if self._is_replay and not self._held:
            now = datetime.now(UTC)
            self._note = progress(self._delivery, now, due_after(when, now))
        yield
        if self._note is not None:
            self._hold(self._note)

    def _send_again(self, deferral: Deferral, release: Callable[[], None]) -> None:
        """Publish the same message with a wait, tell the ledger if it is a replay, then release this one."""
        self._leave_the_pool()
        self._held = True
        if self._is_replay:
            now = datetime.now(UTC)
            note = progress(self._delivery, now, now + timedelta(seconds=deferral.delay))
            release = functools.partial(self._runtime.publish, note, release)
        self._runtime.defer(deferral, release)

    def _leave_the_pool(self) -> None:
        task_ready(self)
        self._already_revoked = True

    def _end(self, ending: Ending, celery_part: Callable[[], Any], note: Note | None = None) -> None:
        """Let Celery report the end of the message, then close its journal entry, then settle it."""
        self._held = True
        settle = self._release if self._task.acks_late else _nothing
        close = functools.partial(self._runtime.ended, self._message_id, ending, settle)
        try:
            celery_part()
        finally:
            if note is None:
                close()
            else:
                self._runtime.publish(note, close)

    def _release(self) -> None:
        self._held = False
        super().acknowledge()

    @contextmanager
    def _dying(self, reason: Callable[[], Reason]) -> Iterator[None]:
        """Keep the failure through whatever Celery does next, also where that raises or settles nothing."""
        if self._failing or self._held:
            yield
            return
        if not self._is_kept:
            yield
            self._runtime.ended(self._message_id, "ignored", _nothing)
            return
        self._failing, self._note = True, self._guarded_note(reason)
        settled_early = self.acknowledged
        try:
            yield
        except Exception:
            logger.exception("reporting a failure failed; the message is kept all the same")
        finally:
            if self._note is not None and (settled_early or not self.acknowledged):
                self._hold(self._note)

    def _guarded_note(self, reason: Callable[[], Reason]) -> DeadLetter:
        now = datetime.now(UTC)
        try:
            note = dead_letter(self._delivery, reason(), now)
        except Exception as exc:
            logger.exception("describing a failure failed; the message is kept without a description")
            note = dead_letter(self._delivery, Reason(Kind.EXCEPTION, text=f"not described: {type(exc).__name__}"), now)
        return replace(note, gate_unavailable=self._gate_unavailable)

    # -- what is told -------------------------------------------------------------------------------------------

    def send_event(self, type: str, **fields: Any) -> None:
        """Celery's events of a task; their texts tell no secret."""
        if fields and self._eventer and self._eventer.enabled and self.task.send_events:
            redaction, secrets = self._app.fluxora.redaction, self.secrets
            fields = {
                name: redaction.text(value, secrets) if isinstance(value, str) else value
                for name, value in fields.items()
            }
        super().send_event(type, **fields)

    @functools.cached_property
    def secrets(self) -> Secrets:
        """Among the arguments and headers of the message."""
        headers, redaction = self._message.headers, self._app.fluxora.redaction
        return secrets_of(self._args, self._kwargs, parameters_of(self._task), redaction, headers)

    def _hide_arguments(self) -> None:
        """Logs and events of the worker, and of its children, show what the message says of its arguments."""
        hidden = representations(self._args, self._kwargs, parameters_of(self._task), self._app.fluxora.redaction)
        if hidden:
            self._request_dict.update(hidden)
            self._argsrepr, self._kwargsrepr = hidden["argsrepr"], hidden["kwargsrepr"]

    # -- facts --------------------------------------------------------------------------------------------------

    @property
    def _runtime(self) -> WorkerRuntime:
        runtime: WorkerRuntime = self._app.fluxora.runtime
        return runtime

    @property
    def _message_id(self) -> str:
        return str(self._request_dict.get(MESSAGE_ID) or self.id)

    @functools.cached_property
    def _delivery(self) -> Delivery:
        return Delivery(
            message=self._message,
            run_id=timed_id(),
            queue=queue_of(self._app, self._message),
            task=str(self._type),
            task_id=str(self.id),
            worker=str(self._hostname),
            redaction=self._app.fluxora.redaction,
            parameters=parameters_of(self._task),
            release=self._app.fluxora.settings.release or "",
            grouping=self._app.fluxora.grouping,
        )

    @property
    def _is_replay(self) -> bool:
        return DEAD_ID in (self._message.headers or ()) and self._delivery.replay_no > 0

    @property
    def _is_kept(self) -> bool:
        """Whether a failure is recorded; that of a replay always is, or its record would wait for ever."""
        return getattr(self._task, "dead_letter", True) or self._is_replay

    def _knows_its_queue(self) -> bool:
        """Whether the message can be sent back: not where it came by a wildcard or to many queues at once."""
        queue = self._delivery.queue
        if queue in self._app.amqp.queues:
            return True
        logger.warning("a message from an unknown queue is not put off: %r is none of the application's", queue)
        return False

    def _kind_without_verdict(self, error: BaseException) -> Kind:
        """The kind, where the child's verdict did not survive: by the attempts used up, else a plain exception."""
        task = self._task
        try:
            exhausted = had_its_retries(task.policy(), self._context.retries + 1)
            verdict = GiveUp(GiveUpReason.ATTEMPTS if exhausted else GiveUpReason.NON_RETRYABLE)
            kind: Kind = task.kind_for(verdict, error)
        except Exception:  # noqa: BLE001 - a task class of somebody else's
            return Kind.EXCEPTION
        return kind

    def _is_turned_away(self) -> bool:
        """Whether this is a copy of a replay that may not run: its fate is under way then. Asked once."""
        if self._asked_gate or not self._is_replay:
            return False
        self._asked_gate = True
        delivery = self._delivery
        publish_id = str(delivery.headers.get(PUBLISH_ID) or "")
        verdict = self._runtime.gate.enter(delivery.dead_id, delivery.replay_no, publish_id)
        if verdict is Verdict.UNKNOWN:
            return self._is_put_back()
        if verdict is not Verdict.RUN:
            self._drop(verdict)
        return verdict is not Verdict.RUN

    def _is_put_back(self) -> bool:
        """Whether a replay that nobody can vouch for comes again later; else it runs, and its outcome says so."""
        replay = (self._delivery.replay_no, self._delivery.dead_id)
        if not getattr(self._task, "strict_replay", False):
            logger.warning("replay %d of dead letter %s runs unasked: shared state is away", *replay)
            self._gate_unavailable = True
            return False
        logger.warning("replay %d of dead letter %s is put back: shared state is away", *replay)
        if self._knows_its_queue():
            back = put_back(self._message, self._delivery.queue, _CHANCE.uniform(*_COME_AGAIN))
            self._send_again(back, functools.partial(self._runtime.in_loop, self._release))
        else:
            self._leave_the_pool()
            self.reject(requeue=True)
        return True

    def _drop(self, verdict: Verdict) -> None:
        """Be done with a copy of a replay that may not run."""
        replay = (self._delivery.replay_no, self._delivery.dead_id)
        logger.warning("a copy of replay %d of dead letter %s is dropped: %s", *replay, verdict)
        if self._runtime.books.journal is not None:
            self._runtime.books.journal.dropped()
        self._leave_the_pool()
        self.acknowledge()

    def _repair_chord(self) -> None:
        """A chord that failed by this message's failure waits for it again."""
        if not (self.chord and self.group):
            return
        try:
            if can_repair(self.task.backend):
                repair(self.task.backend, self.group)
            else:
                logger.warning("replay of a chord's member on a backend without repair: the body will not run")
        except Exception:
            logger.exception("repairing a chord failed; its member runs on its own")

    def _is_poison(self) -> bool:
        runs, runtime = self._runtime.books.unfinished_runs(self._message_id), self._runtime
        if runs < runtime.poison_after:
            return False
        error = WorkerLostError(f"{runs} runs began and none came to an end; not run again")
        logger.error("message %s takes its worker with it, kept as a dead letter instead of run", self._message_id)
        with self._dying(lambda: Reason(Kind.POISON_SUSPECT, error)):
            self._leave_the_pool()
            self.task.backend.mark_as_failure(self.id, error, request=self._context, store_result=self.store_errors)
        return True

    def _count_retry(self) -> None:
        self._strike_off()
        if self._runtime.books.journal is not None:
            self._runtime.books.journal.retried()

    def _strike_off(self) -> None:
        """The run ended, the message goes on."""
        self._runtime.ended(self._message_id, None, _nothing)

    def _confirmation(self) -> Confirmation | None:
        """
        A success resolves the record of its message, wherever there may be one.

        There may be for a replay, for a redelivered copy, and after a retry or a deferral: the run that sent this
        message may have lost its process right after, or been a redelivered copy itself.
        """
        sent_again = self._request_dict.get("retries") or DEFERRALS in self._request_dict
        if DEAD_ID in (self._message.headers or ()) or self._delivery_info["redelivered"] or sent_again:
            told = confirmation(self._delivery, datetime.now(UTC))
            return replace(told, gate_unavailable=self._gate_unavailable)
        return None


def _noting_success(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def on_success(self: CapturingRequest, outcome: Any, **kwargs: Any) -> Any:
        if outcome[0]:
            return inner(self, outcome, **kwargs)
        return self._end("succeeded", functools.partial(inner, self, outcome, **kwargs), self._confirmation())

    return on_success


def _noting_start(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def execute_using_pool(self: CapturingRequest, pool: Any, **kwargs: Any) -> Any:
        result = inner(self, pool, **kwargs)
        # the loop sends the books before it writes to the child, so no child can die of a run that is not in them
        if not self._runtime.in_process:
            self._runtime.started(self._message_id)
        return result

    return execute_using_pool


def _nothing() -> None:
    pass


def _rejected_unrun() -> Reason:
    """Celery drops a message on its own before a run, say because of a time it cannot compute with."""
    return Reason(Kind.NOT_A_TASK, text="rejected by the worker before it ran")


def error_of(exc_info: ExceptionInfo) -> Any:
    """The exception that the pool reports."""
    error = exc_info.exception
    return error.exc if isinstance(error, ExceptionWithTraceback) else error

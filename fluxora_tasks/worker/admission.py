"""The gate of a message's circuits, in the worker's main process [celery].

A permit is taken when a place in the pool is free and before the pool gets the task; what the run came to is told when
the result is back. Refused, the message is put off, runs its fallback only, or dies. A fault of the gate itself lets
the message run.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

from billiard.exceptions import WorkerLostError
from celery.exceptions import Ignore, Reject, Retry, Terminated
from celery.worker import state
from celery.worker.state import task_ready

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.events import TaskDeferred, emit
from fluxora_tasks.task.admission import Defer, Refusal, RunFallback, decide, delay_for, terms_of, waited_of
from fluxora_tasks.task.degrading import REFUSED
from fluxora_tasks.task.ending import ToldResult
from fluxora_tasks.worker.capture import Delivery, Reason
from fluxora_tasks.worker.deferral import deferral_of
from fluxora_tasks.worker.permits import Permits, take
from fluxora_tasks.worker.runtime import WorkerRuntime

logger = logging.getLogger(__name__)

#: Spreads those that wait for the same circuit.
_CHANCE = Random()  # noqa: S311 - not a secret


class Gated:
    """Mixed into the request class, before Celery's own."""

    _app: Any
    _args: Sequence[Any]
    _context: Any
    _kwargs: Mapping[str, Any]
    _message: Any
    _release: Callable[[], None]
    _request_dict: dict[str, Any]
    _task: Any
    _dying: Callable[[Callable[[], Reason]], AbstractContextManager[None]]
    acknowledge: Callable[[], None]
    id: str
    store_errors: bool

    _already_revoked = False
    _already_cancelled = False
    _held = False
    _permits: Permits | None = None
    _began: float | None = None

    if TYPE_CHECKING:  # the request's own

        @property
        def _delivery(self) -> Delivery: ...

        @property
        def _message_id(self) -> str: ...

        @property
        def _runtime(self) -> WorkerRuntime: ...

    # -- before the run -----------------------------------------------------------------------------------------

    def _admit(self) -> bool:
        """Whether the pool may have the task; if not, what becomes of the message is under way."""
        self._request_dict.pop(REFUSED, None)  # said by the message itself, it is worth nothing
        try:
            refusal = self._ask()
        except Exception:
            logger.exception("the gate failed; the message runs without a permit")
            return True
        return refusal is None or self._admit_refused(refusal)

    def _ask(self) -> Refusal | None:
        """Take the permits, or return the refusal."""
        task, runtime = self._task, self._runtime
        names = runtime.circuit_names.of(task.name, task.breaker, self._args, self._kwargs)
        if runtime.pausing is not None:
            runtime.pausing.saw(self._delivery.queue, names[0] if len(names) == 1 else "")
        if not names:
            return None
        breakers = self._app.fluxora.breakers
        answer = take([breakers.get(name) for name in names], task.classifier)
        if not isinstance(answer, Permits):
            return answer
        self._permits = answer
        return None

    def _admit_refused(self, refusal: Refusal) -> bool:
        terms = terms_of(self._task, self._app.fluxora.settings.max_defer)
        what = decide(refusal, terms, waited_of(self._message.headers))
        if isinstance(what, RunFallback):
            self._request_dict[REFUSED] = [refusal.name, refusal.state, refusal.retry_after]
            return True
        if not isinstance(what, Defer):
            self._refuse(refusal, what.text)
            return False
        if not self._knows_its_queue():
            return True
        self._put_off(refusal, what.at_most, functools.partial(self._runtime.in_loop, self._release))
        return False

    def _knows_its_queue(self) -> bool:
        """Whether the message can be sent back; by routes of which the application knows nothing it runs."""
        queue = self._delivery.queue
        if queue in self._app.amqp.queues:
            return True
        logger.warning("a message from an unknown queue is not put off: %r is none of the application's", queue)
        return False

    def _put_off(self, refusal: Refusal, at_most: float, release: Callable[[], None]) -> None:
        """Send the same message again with a wait; release this one when the broker has it."""
        runtime, queue = self._runtime, self._delivery.queue
        delay = delay_for(refusal, at_most, runtime.crowd.joined(time.monotonic()), _CHANCE)
        deferral = deferral_of(self._message, queue, delay, datetime.now(UTC))
        self._leave_the_pool()
        self._held = True
        runtime.defer(deferral, release)
        if runtime.pausing is not None and self._task.pause_queue:
            runtime.pausing.refused(queue, refusal.name)
        deferrals = waited_of(deferral.headers).deferrals
        logger.info("task %s[%s] put off for %.1f s: circuit %s is %s",
                    self._task.name, self.id, delay, refusal.name, refusal.state)  # fmt: skip
        emit(TaskDeferred(self._task.name, str(self.id), refusal.name, deferrals, delay))

    def _refuse(self, refusal: Refusal, text: str) -> None:
        """End the message's life."""
        error = CircuitBreakerError(refusal.name, refusal.state, refusal.retry_after)
        logger.error("task %s[%s] is given up: %s", self._task.name, self.id, text)
        with self._dying(lambda: Reason(Kind.BREAKER_TIMEOUT, error, text)):
            self._leave_the_pool()
            try:
                self._task.backend.mark_as_failure(
                    self.id, error, request=self._context, store_result=self.store_errors
                )
            except Exception:
                logger.exception("storing the result failed")
            self.acknowledge()

    def _leave_the_pool(self) -> None:
        task_ready(self)
        self._already_revoked = True

    # -- after the run ------------------------------------------------------------------------------------------

    def _put_off_after(self, error: Reject) -> bool:
        """Put off a message whose body met an open circuit; whether that is what the child asked for."""
        refusal = error.reason
        if not isinstance(refusal, CircuitBreakerError) or not self._knows_its_queue():
            return False
        left = terms_of(self._task, self._app.fluxora.settings.max_defer).max_defer
        left -= waited_of(self._message.headers).seconds
        self._put_off(refusal, left, functools.partial(self._runtime.ended, self._message_id, None, self._release))
        return True

    def _tell_success(self, text: Any) -> None:
        """Settle the permits of a run that gave a result; a fallback's result is the failure behind it."""
        if self._permits is None:
            return
        if not isinstance(text, ToldResult):
            self._permits.succeeded(self._duration)
        elif text.error is not None:
            self._permits.failed(text.error, self._duration)
        else:
            self._permits.excluded()

    def _tell_failure(self, error: Any) -> None:
        """Settle the permits of a run that raised, was ended or lost its process."""
        permits = self._permits
        if permits is None:
            return
        if state.should_terminate:
            permits.given_back()
        elif isinstance(error, (Ignore, Reject, Terminated)) or self._already_revoked or self._already_cancelled:
            permits.excluded()
        elif isinstance(error, Exception):
            permits.failed(_carried(error), self._duration)
        else:
            permits.failed(WorkerLostError(repr(error)), self._duration)

    def _tell_nothing(self) -> None:
        """Settle the permits of a run that was ended from outside."""
        if self._permits is not None:
            self._permits.excluded()

    def _give_permits_back(self) -> None:
        if self._permits is not None:
            self._permits.given_back()

    @property
    def _duration(self) -> float | None:
        """Seconds since the pool began; ``None`` where it did not say so."""
        return None if self._began is None else time.monotonic() - self._began


def _carried(error: Exception) -> Exception:
    """The failure that a retry is about."""
    carried = error.exc if isinstance(error, Retry) else None
    return carried if isinstance(carried, Exception) else error

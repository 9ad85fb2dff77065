"""GatedRequest: a message whose circuits are asked before it runs, in the worker's main process [celery].

A permit is taken when a place in the pool is free and before the pool gets the task; what the run came to is told when
the result is back. Refused, the message is put off, runs its fallback only, or dies. A fault of the gate itself lets
the message run.

An open or closed circuit is known here. A circuit that is due for a probe is asked about in this very loop: one round
trip through shared state's own thread, 0.4 ms on the same host, 0.28 s at most where it hangs (then it is left alone
for a while). What is refused is not asked for again for a quarter of a second. See docs/decisions/0008.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry, TaskRevokedError, Terminated
from celery.worker import state

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.events import TaskDeferred, emit
from fluxora_tasks.task.admission import Defer, RunFallback, Terms, decide, delay_for, terms_of, waited_of
from fluxora_tasks.task.ending import ToldResult
from fluxora_tasks.task.fallback import REFUSED
from fluxora_tasks.worker.capture import Reason
from fluxora_tasks.worker.deferral import deferral_of
from fluxora_tasks.worker.permits import Permits, take
from fluxora_tasks.worker.request import CapturingRequest, error_of

logger = logging.getLogger(__name__)

#: Spreads those that wait for the same circuit.
_CHANCE = Random()  # noqa: S311 - not a secret


class GatedRequest(CapturingRequest):
    """One delivery of a task message, with the permits it runs under."""

    _permits: Permits | None = None
    _began: float | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # around Celery's own two methods, as beneath
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "on_success" in own:
            cls.on_success = _telling_success(own["on_success"])
        if "execute_using_pool" in own:
            cls.execute_using_pool = _admitting(own["execute_using_pool"])

    # -- before the run -----------------------------------------------------------------------------------------

    def _admit(self) -> bool:
        """Whether the pool may have the task; if not, what becomes of the message is under way."""
        self._request_dict.pop(REFUSED, None)  # where the message itself says so, it is worth nothing
        try:
            refusal = self._ask()
            return refusal is None or self._admit_refused(refusal)
        except Exception:
            logger.exception("the gate failed; the message runs without a permit")
            return True

    def _ask(self) -> CircuitBreakerError | None:
        """Take the permits, or return the refusal."""
        task, runtime = self._task, self._runtime
        names = runtime.circuit_names.of(task.name, task.breaker, self._args, self._kwargs)
        if runtime.pausing is not None:
            runtime.pausing.saw(self._delivery.queue, names[0] if len(names) == 1 else "")
        if not names:
            return None
        breakers = self._app.fluxora.breakers
        answer = take([breakers.get(name) for name in names], task.classifier)
        if isinstance(answer, CircuitBreakerError):
            return answer
        self._permits = answer
        return None

    def _admit_refused(self, refusal: CircuitBreakerError) -> bool:
        what = decide(refusal, self._terms(), waited_of(self._message.headers))
        if isinstance(what, RunFallback):
            self._request_dict[REFUSED] = list(refusal.args)
            return True
        if not isinstance(what, Defer):
            self._refuse(refusal, what.text)
            return False
        if not self._knows_its_queue():
            return True
        self._put_off(refusal, what.at_most, functools.partial(self._runtime.in_loop, self._release))
        return False

    def _terms(self) -> Terms:
        return terms_of(self._task, self._app.fluxora.settings.max_defer)

    def _put_off(self, refusal: CircuitBreakerError, at_most: float, release: Callable[[], None]) -> None:
        """Send the same message again with a wait; release this one when the broker has it."""
        runtime, queue = self._runtime, self._delivery.queue
        delay = delay_for(refusal, at_most, runtime.crowd.joined(time.monotonic()), _CHANCE)
        deferral = deferral_of(self._message, queue, delay, datetime.now(UTC))
        self._send_again(deferral, release)
        if runtime.pausing is not None and self._task.pause_queue:
            runtime.pausing.refused(queue, refusal.name)
        logger.info("task %s[%s] put off for %.1f s: circuit %s is %s",
                    self._task.name, self.id, delay, refusal.name, refusal.state)  # fmt: skip
        deferrals = waited_of(deferral.headers).deferrals
        emit(TaskDeferred(self._task.name, str(self.id), refusal.name, deferrals, delay))

    def _refuse(self, refusal: CircuitBreakerError, text: str) -> None:
        """End the message's life."""
        logger.error("task %s[%s] is given up: %s", self._task.name, self.id, text)
        with self._dying(lambda: Reason(Kind.BREAKER_TIMEOUT, refusal, text)):
            self._leave_the_pool()
            try:
                self._task.backend.mark_as_failure(
                    self.id, refusal, request=self._context, store_result=self.store_errors
                )
            finally:
                self.acknowledge()

    # -- after the run ------------------------------------------------------------------------------------------

    def on_accepted(self, pid: int, time_accepted: float) -> Any:
        """The pool begins to run it."""
        if self._permits is not None:
            self._began = time.monotonic()
        return super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The pool reports a failure, or that the body met an open circuit."""
        error = error_of(exc_info)
        self._tell_failure(error)
        if isinstance(error, Reject) and error.requeue and self._is_put_off_after(error):
            return None
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        """The pool reports a time limit; the hard one ends the run."""
        if not soft:
            self._tell_failure(TimeLimitExceeded(timeout))
        return super().on_timeout(soft, timeout)

    def _announce_revoked(self, *args: Any) -> Any:
        self._tell_nothing()
        return super()._announce_revoked(*args)

    def _announce_cancelled(self, *args: Any, **kwargs: Any) -> Any:
        self._tell_nothing()
        return super()._announce_cancelled(*args, **kwargs)

    def _is_put_off_after(self, error: Reject) -> bool:
        """Put off a message whose body met an open circuit; whether that is what the child asked for."""
        refusal = error.reason
        if not isinstance(refusal, CircuitBreakerError) or not self._knows_its_queue():
            return False
        left = self._terms().max_defer - waited_of(self._message.headers).seconds
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
        if self._permits is None:
            return
        from_outside = state.should_terminate or self._already_revoked or self._already_cancelled
        if from_outside or isinstance(error, (Ignore, Reject, Terminated)):
            self._permits.excluded()
        elif isinstance(error, Exception):
            self._permits.failed(_carried(error), self._duration)
        else:
            self._permits.failed(WorkerLostError(repr(error)), self._duration)

    def _tell_nothing(self) -> None:
        """Settle the permits of a run that was not made, or was ended from outside."""
        if self._permits is not None:
            self._permits.excluded()

    @property
    def _duration(self) -> float | None:
        """Seconds since the pool began; ``None`` where it did not say so."""
        return None if self._began is None else time.monotonic() - self._began


def _admitting(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def execute_using_pool(self: GatedRequest, pool: Any, **kwargs: Any) -> Any:
        if self._task.breaker is None and self._runtime.pausing is None:
            return inner(self, pool, **kwargs)
        if self.revoked() or not self._admit():
            raise TaskRevokedError(self.id)
        try:
            return inner(self, pool, **kwargs)
        except BaseException:
            self._tell_nothing()
            raise

    return execute_using_pool


def _telling_success(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def on_success(self: GatedRequest, outcome: Any, **kwargs: Any) -> Any:
        if not outcome[0]:
            self._tell_success(outcome[1])
        return inner(self, outcome, **kwargs)

    return on_success


def _carried(error: Exception) -> Exception:
    """The failure that a retry is about."""
    carried = error.exc if isinstance(error, Retry) else None
    return carried if isinstance(carried, Exception) else error

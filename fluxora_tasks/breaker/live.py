"""LiveBreaker: a circuit as the calls of this process meet it; no I/O but for probes and the first use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from random import Random
from typing import Any, Final, Protocol

from fluxora_tasks.breaker.known import KnownCircuit, asked_again
from fluxora_tasks.breaker.permit import Permit, Refusal
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Admission, Counts, Override, Result
from fluxora_tasks.breaker.refusals import Refusals
from fluxora_tasks.breaker.verdict import judged, trip_ms
from fluxora_tasks.breaker.view import Source, View
from fluxora_tasks.classification import Classifier, classify

#: Seconds that a caller waits for the answer to a question, at most.
_PATIENCE: Final = 0.28

#: Seconds that the caller of a probe waits for what its result led to, at most.
_AFTERWARDS: Final = 0.005

#: Seconds within which a failure is reported.
_FAILURE_WITHIN: Final = 0.05

#: Questions for one call; each may meet a circuit that changed meanwhile.
_QUESTIONS: Final = 3


class Shared(Protocol):
    """The way to everybody else; see ``sharing.Sharing``.

    Attributes:
        reporter: Name of this process there.
    """

    reporter: str

    def refresh(self, circuit: LiveBreaker) -> Future[Permit | None]:
        """Hear from the store now; ``None``: the circuit's view tells."""
        ...

    def ask(self, circuit: LiveBreaker, is_patient: bool) -> Future[Permit | None]:
        """A permit; ``None``: the circuit's view tells more."""
        ...

    def settle(self, permit: Permit, circuit: LiveBreaker, result: Result, slow: bool) -> Future[None]:
        """Give a probe's lease back."""
        ...

    def wake(self, within: float) -> None:
        """Report within so many seconds."""
        ...


class LiveBreaker(KnownCircuit):
    """
    One circuit in one process; safe for threads, greenlets, asyncio and forks. No lock is held during a call.

    Args:
        name: Of the circuit; may be empty without ``shared``.
        shared: The way to everybody else; ``None``: the circuit is this process's own.
        classifier: What errors mean.
        monotonic: Source of time.
        random: Spreads the cooldowns of this process's own circuits.
        before_look: Called now and then where this process decides, for what else has to be looked at.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        shared: Shared | None = None,
        classifier: Classifier = classify,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        before_look: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name, policy, shared is not None, monotonic, random)
        self.shared, self.classifier = shared, classifier
        self._before_look = before_look
        self._refusals = Refusals(name)

    # ------------------------------------------------------------------------------ may the call be made?

    def try_acquire(self) -> Permit | Refusal:
        """A permit or a refusal. One round trip (up to 0.3 s) for a probe and at first use, else no I/O."""
        for _ in range(_QUESTIONS):
            answer = self._at_once(True) or self._asked()
            if answer is not None:
                return answer
        return self._refuse(self.view, self.monotonic())

    async def try_acquire_async(self) -> Permit | Refusal:
        """As ``try_acquire``, without blocking the loop."""
        for _ in range(_QUESTIONS):
            answer = self._at_once(False) or await self._asked_async()
            if answer is not None:
                return answer
        return self._refuse(self.view, self.monotonic())

    def acquire(self) -> Permit:
        """
        A permit.

        Raises:
            CircuitBreakerError: the circuit refuses.
        """
        answer = self.try_acquire()
        if isinstance(answer, Refusal):
            raise answer.error()
        return answer

    async def acquire_async(self) -> Permit:
        """As ``acquire``, without blocking the loop."""
        answer = await self.try_acquire_async()
        if isinstance(answer, Refusal):
            raise answer.error()
        return answer

    def peek(self) -> Refusal | None:
        """What ``try_acquire`` would refuse with, as far as is known here; takes no permit, asks nobody."""
        view, now = self.view, self.monotonic()
        return self._refusal(view, now) if view.pass_until <= now < view.refuse_until else None

    def _at_once(self, is_patient: bool) -> Permit | Refusal | None:
        """The answer, if nobody else has to be asked."""
        view, now = self.view, self.monotonic()
        if now < view.pass_until:
            return self._permit(view, None, is_patient)
        if now < view.refuse_until:
            return self._refuse(view, now)
        if view.source is Source.SHARED and not view.is_open:
            self.leave_store()  # nobody confirmed it for too long
        if self.view.source is not Source.LOCAL:
            return None
        return self._ask_here(is_patient)

    def _ask_here(self, is_patient: bool) -> Permit | None:
        self._before_look()
        lease = self._new_lease()
        answer = self.ask_here(lease)
        if answer is None or not answer[0].granted:
            return None
        admission, view = answer
        return self._permit(view, lease if admission.lease else None, is_patient)

    def _question(self, is_patient: bool) -> Future[Permit | None] | None:
        """What has to be asked; ``None`` if by now nothing has."""
        source = self.view.source
        if source is Source.LOCAL or self.shared is None:
            return None
        return self.shared.refresh(self) if source is Source.UNKNOWN else self.shared.ask(self, is_patient)

    def _asked(self) -> Permit | None:
        question = self._question(True)
        if question is None:
            return None
        try:
            return question.result(_PATIENCE)
        except Exception:  # noqa: BLE001 - whatever it is, the call must not suffer from it
            self._go_on_without(question)
            return None
        except BaseException:
            _abandon(question)
            raise

    async def _asked_async(self) -> Permit | None:
        question = self._question(False)
        if question is None:
            return None
        try:
            await asyncio.wait([_waiter(question)], timeout=_PATIENCE)
            return question.result(0)
        except Exception:  # noqa: BLE001 - as above
            self._go_on_without(question)
            return None
        except BaseException:
            _abandon(question)
            raise

    def _go_on_without(self, question: Future[Permit | None]) -> None:
        _abandon(question)
        self.leave_store()

    def ask_store(self, admit: Callable[[str], Admission], is_patient: bool) -> Permit | None:
        """Ask for a permit, unless the answer is known by now; ``None``: the view says why not."""
        view, now = self.view, self.monotonic()
        if now < view.pass_until or now < view.refuse_until or view.source is not Source.SHARED:
            return None
        lease = self._new_lease()
        admission = admit(lease)
        view = self.answered(admission.snapshot, asked_again(admission))
        return self._permit(view, lease, is_patient) if admission.lease else None

    def _new_lease(self) -> str:
        """An id that no other probe has."""
        return f"{self.shared.reporter if self.shared else ''}:{next(self._leases)}"

    def _permit(self, view: View, lease: str | None, is_patient: bool) -> Permit:
        permit = Permit(self, view, lease, is_patient)
        if lease is not None or self.policy.slow_call is not None:
            self.took_off(permit)
        return permit

    def _refuse(self, view: View, now: float) -> Refusal:
        refusal = self._refusal(view, now)
        self.count_refusal()
        self._refusals.add(now, refusal.retry_after)
        return refusal

    def _refusal(self, view: View, now: float) -> Refusal:
        return Refusal(self.name, view.state, max(0.0, view.retry_at - now))

    # ---------------------------------------------------------------------------------- how did it end?

    def judge(self, error: BaseException | None) -> Result:
        """What an ended call says about the other side."""
        return judged(error, self.classifier)

    def trips(self, seen: Any) -> int | None:
        """For how many ms what was seen opens the circuit at once, see ``verdict.trip_ms``."""
        return trip_ms(self.policy.trip_on, seen)

    def failed(self, view: View, error: BaseException) -> Result:
        """A call that passed under this view without a permit raised; what that says about the other side."""
        result = self.judge(error)
        if result is Result.SUCCESS:
            view.tally.succeed()
        elif result is Result.FAILURE:
            self._count(view, Counts(1, 1), self.trips(error))
        return result

    def ended(self, permit: Permit, result: Result, duration: float | None, trip: int | None) -> None:
        """A permit's call ended."""
        slow = self._is_slow(permit, duration)
        if permit.lease is not None or self.policy.slow_call is not None:
            self.landed(permit)
        if permit.lease is not None:
            self._end_probe(permit, result, slow)
        elif result is Result.SUCCESS and not slow and not permit.is_counted:
            permit.view.tally.succeed()
        elif result is not Result.EXCLUDED:
            fresh = int(not permit.is_counted)
            counts = Counts(fresh, int(result is Result.FAILURE), fresh if slow else 0)
            self._count(permit.view, counts, trip)

    def _is_slow(self, permit: Permit, duration: float | None) -> bool:
        longest = self.policy.slow_call
        if longest is None:
            return False
        return (self.monotonic() - permit.began if duration is None else duration) >= longest

    def _count(self, view: View, counts: Counts, trip: int | None) -> None:
        seems_open = self.record(view.tally, counts, trip)
        if self.shared is not None:
            self.shared.wake(0.0 if seems_open else _FAILURE_WITHIN)

    def _end_probe(self, permit: Permit, result: Result, slow: bool) -> None:
        lease, generation = permit.lease or "", permit.view.snapshot.generation
        if permit.view.source is Source.LOCAL:
            self.settle_here(permit, lambda local, policy: local.settle(policy, generation, lease, result, slow))
        elif self.shared is not None:
            told = self.shared.settle(permit, self, result, slow)
            if permit.is_patient:
                with suppress(Exception):
                    told.result(_AFTERWARDS)

    # --------------------------------------------------------------------------------------- people

    def status(self) -> dict[str, Any]:
        """
        What this process knows: ``name``, ``state`` (what decides), ``automatic_state``, ``source`` (shared, local,
        unknown, override), ``age`` (seconds since it was confirmed, ``None``: never), ``generation``, ``reason``,
        ``calls``, ``failures``, ``slow`` (of the window), ``attempts``, ``retry_after`` (seconds).
        """
        view, now = self.view, self.monotonic()
        snapshot, counts = view.snapshot, view.snapshot.counts + view.tally.pending()
        return {
            "name": self.name,
            "state": view.state,
            "automatic_state": snapshot.state.value,
            "source": view.source.value if snapshot.override is Override.NONE else "override",
            "age": now - view.at if view.at else None,
            "generation": snapshot.generation,
            "reason": snapshot.reason,
            "calls": counts.calls,
            "failures": counts.failures,
            "slow": counts.slow,
            "attempts": snapshot.attempts,
            "retry_after": max(0.0, view.retry_at - now) if view.is_open else 0.0,
        }


def _waiter(question: Future[Any]) -> asyncio.Future[Any]:
    """Something to wait for in the loop; the answer is read from the question."""
    waiter = asyncio.wrap_future(question)
    waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
    return waiter


def _abandon(question: Future[Permit | None]) -> None:
    """Nobody waits any more: a permit that comes yet is given back at once."""
    question.cancel()
    question.add_done_callback(_give_back)


def _give_back(question: Future[Permit | None]) -> None:
    permit = None if question.cancelled() or question.exception() else question.result()
    if permit is not None:
        permit.release()

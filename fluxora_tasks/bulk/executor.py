"""The executor: takes bulk operations on, step by step [kombu, through the ledger's publisher].

It keeps nothing in memory that matters: whoever has the lease reads how far an operation got, and goes on from there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from kombu import Connection

from fluxora_tasks.bulk.changes import OPERATOR
from fluxora_tasks.bulk.operation import Kind, Operation, State
from fluxora_tasks.bulk.pacing import LOOK, Abort, Complete, Facts, Hold, Issue, Wait, decide
from fluxora_tasks.bulk.work import LeaseLost, Work
from fluxora_tasks.clock import Clock, SystemClock
from fluxora_tasks.errors import ConfigurationError, ConflictError, LedgerUnavailable
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.ledger.replay import Replayer
from fluxora_tasks.ledger.repository import Ledger

logger = logging.getLogger(__name__)

#: Seconds the lease is taken for, and after which it is renewed.
LEASE: Final = 15.0
_RENEWED: Final = 5.0

#: Seconds between two looks where there is nothing to do, and where another one works.
_IDLE: Final = 1.0
_STANDBY: Final = 2.0

#: Seconds after which an unused connection is closed, and between two looks at what was unconfirmed.
_UNUSED: Final = 20.0
_LATE: Final = 10.0

#: Seconds of the first and of the longest pause while the ledger is away.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0

#: Records whose tasks and queues are looked at before more are sent.
_AHEAD: Final = 50


class Surroundings(Protocol):
    """What is in the way of a replay."""

    def breaker(self, task: str) -> str | None:
        """What is said of a circuit of the task, where it lets none pass."""
        ...

    def away(self, queue: str) -> str | None:
        """What is said of the broker or the queue, where no worker would take the message."""
        ...

    def lag(self) -> float | None:
        """Seconds the ledger lags behind; ``None``: not known."""
        ...

    def close(self) -> None:
        """Give connections back until the next question."""
        ...


class Executor:
    """
    Does bulk operations, for as long as it has the lease. Not safe for threads: one owner.

    Args:
        ledger: Where claims are marked and given back.
        work: The operations, under this executor's name.
        connect: Opens a connection of its own to the broker.
        surroundings: Asked before messages are sent.
        clock: Time of the pace.
    """

    def __init__(
        self,
        ledger: Ledger,
        work: Work,
        connect: Callable[[], Connection],
        surroundings: Surroundings,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._ledger, self._work, self._surroundings = ledger, work, surroundings
        self._clock = clock or SystemClock()
        self._replayer = Replayer(connect, ledger)
        self._renew_at = self._late_at = self._used_at = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; while the ledger is away it is waited for."""
        pause = 0.0
        while not stop.is_set():
            try:
                wait, pause = self.step(), 0.0
            except LedgerUnavailable as exc:
                if not pause:
                    logger.warning("bulk.ledger_away waiting for it: %s", exc)
                wait = pause = min(pause * 2, _LONGEST_PAUSE) or _FIRST_PAUSE
            except Exception:
                logger.exception("bulk.step_failed")
                wait = _LONGEST_PAUSE
            stop.wait(wait)
        self.close()

    def step(self) -> float:
        """One step of every operation; returns the seconds until the next.

        Raises:
            LedgerUnavailable: to be tried again.
        """
        try:
            if not self._has_lease():
                return _STANDBY
            waits = [self._guarded(operation) for operation in self._work.open_operations()]
            self._learn_late()
        except LeaseLost:
            self._renew_at = float("-inf")
            return _STANDBY
        self._close_unused()
        return min(waits, default=_IDLE)

    def close(self) -> None:
        """Let another one work at once, and give the connections back."""
        self._replayer.close()
        self._surroundings.close()
        try:
            self._work.release_lease()
        except LedgerUnavailable:
            logger.debug("bulk.lease_kept", exc_info=True)

    # ------------------------------------------------------------------------------------------ inside

    def _has_lease(self) -> bool:
        now = time.monotonic()
        if now < self._renew_at:
            return True
        held = self._work.hold_lease(LEASE)
        self._renew_at = now + _RENEWED if held else float("-inf")
        return held

    def _guarded(self, operation: Operation) -> float:
        """One step of an operation, whose faults are its own."""
        try:
            return self._advance(operation)
        except (LedgerUnavailable, LeaseLost):
            raise
        except ConflictError:
            return LOOK  # somebody changed it meanwhile; looked at anew
        except ConfigurationError as exc:
            self._work.abort(operation.id, f"it cannot go on: {exc}")
            return 0.0
        except Exception:
            logger.exception("bulk.operation_failed operation=%s", operation.id)
            return _IDLE

    def _advance(self, operation: Operation) -> float:
        work, id = self._work, operation.id
        if operation.state in (State.CANCELLED, State.ABORTED):
            return self._wind_up(operation)
        if not operation.listed_all:
            work.list_more(id)
        if operation.kind is Kind.REPLAY:
            work.learn(id)
        operation = work.get(id)
        if operation.held_by == OPERATOR:
            return self._rest(operation)
        wait = self._replay(operation) if operation.kind is Kind.REPLAY else self._act(operation)
        return wait if operation.listed_all else 0.0

    def _wind_up(self, operation: Operation) -> float:
        """Nothing more is sent; what was sent is awaited."""
        if self._work.skip_rest(operation.id):
            return 0.0
        self._work.learn(operation.id)
        self._work.end(operation.id)
        return LOOK

    def _rest(self, operation: Operation) -> float:
        """While an operator holds it."""
        if operation.listed_all and not operation.pending and not operation.in_flight:
            self._work.end(operation.id)
        return LOOK if operation.in_flight else _IDLE

    def _act(self, operation: Operation) -> float:
        """What is done in the ledger alone needs no pace."""
        if not self._work.act(operation.id) and operation.listed_all:
            self._work.end(operation.id)
        return 0.0

    def _replay(self, operation: Operation) -> float:
        decision = decide(self._facts(operation))
        if isinstance(decision, Abort):
            logger.warning("bulk.aborted operation=%s reason=%s", operation.id, decision.reason)
            self._work.abort(operation.id, decision.reason)
            return 0.0
        if isinstance(decision, Complete):
            self._work.end(operation.id)
            return 0.0
        if isinstance(decision, Hold):
            self._work.hold(operation.id, decision.reason, decision.progress)
            return decision.wait
        if operation.state is State.PAUSED:
            self._work.go_on(operation.id)
        if isinstance(decision, Wait):
            return decision.seconds
        return self._issue(operation, decision)

    def _issue(self, operation: Operation, decision: Issue) -> float:
        claims = self._work.issue(operation.id, decision.count, decision.progress)
        if claims:
            self._used_at = time.monotonic()
            self._publish(operation, claims)
        return decision.wait if claims else 0.0

    def _publish(self, operation: Operation, claims: Sequence[Claim]) -> None:
        """Send what is claimed. What the broker refuses is given back; what it may have waits for the sweep."""
        failures = self._replayer.send(claims)
        away = [failure.detail for failure in failures.values() if failure.reason == "broker_away"]
        for claim in claims:
            failure = failures.get(claim.dead_id)
            if failure is not None and not failure.is_open and failure.reason != "broker_away":
                self._ledger.release(claim.item_id, failure.detail)
        if away:
            self._work.hold(operation.id, f"broker away: {away[0]}")

    def _facts(self, operation: Operation) -> Facts:
        breaker, away = self._in_the_way(operation) if operation.pending else (None, None)
        return Facts(
            now=self._clock.now().timestamp(),
            pace=operation.pace,
            progress=operation.progress,
            records=max(operation.planned, operation.total),
            pending=operation.pending,
            in_flight=operation.in_flight,
            unconfirmed=operation.unconfirmed,
            listed_all=operation.listed_all,
            breaker=breaker,
            away=away,
            lag=self._surroundings.lag() if operation.pending else None,
        )

    def _in_the_way(self, operation: Operation) -> tuple[str | None, str | None]:
        """What keeps the next messages from being taken: a circuit, or the broker and its queues."""
        self._used_at = time.monotonic()
        pairs = self._work.upcoming(operation.id, _AHEAD)
        circuits = (self._surroundings.breaker(task) for task in dict.fromkeys(task for task, _ in pairs))
        queues = (self._surroundings.away(queue) for queue in dict.fromkeys(queue for _, queue in pairs if queue))
        return next(filter(None, circuits), None), next(filter(None, queues), None)

    def _learn_late(self) -> None:
        """Outcomes of records that counted as unconfirmed when their operation ended."""
        now = time.monotonic()
        if now < self._late_at:
            return
        self._late_at = now + _LATE
        for operation in self._work.unconfirmed_operations():
            self._work.learn(operation.id)

    def _close_unused(self) -> None:
        if time.monotonic() - self._used_at > _UNUSED:
            self._replayer.close()
            self._surroundings.close()

"""MemoryBreakerStore: circuits kept in this process, for tests, local circuits and the time without shared state."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from fluxora_tasks.breaker import machine
from fluxora_tasks.breaker.change import Moment, Step
from fluxora_tasks.breaker.circuit import Circuit, snapshot_of, status_of
from fluxora_tasks.breaker.name import checked_name
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Admission, Order, Override, Report, Result, Snapshot, Status, Transition
from fluxora_tasks.breaker.stores.order import check_generation, milliseconds
from fluxora_tasks.forks import watch_forks

#: Changes kept per circuit.
_HISTORY: Final = 256


class MemoryBreakerStore:
    """
    A ``BreakerStore`` without a server; safe for threads. It keeps what it was told for as long as it lives.

    Args:
        clock: The store's time in ms.
        random: Spreads the ends of cooldowns.
    """

    def __init__(self, clock: Callable[[], int], random: Random | None = None) -> None:
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - spreads cooldowns, not a secret
        self._lock = threading.Lock()
        self._circuits: dict[str, Circuit] = {}
        self._history: dict[str, deque[Transition]] = {}
        watch_forks(self)

    def forked(self) -> None:
        """Whoever held the lock stayed behind."""
        self._lock = threading.Lock()

    def flush(self, reports: Sequence[Report], reporter: str) -> list[Snapshot | None]:
        """Fold reports in."""
        with self._lock:
            return [self._flush(report, reporter) for report in reports]

    def _flush(self, report: Report, reporter: str) -> Snapshot:
        moment = self._moment(report.policy, reporter)
        return self._keep(machine.flush(self._circuit(report.name), report, moment), moment)

    def admit(self, name: str, lease: str, policy: BreakerPolicy, reporter: str) -> Admission:
        """Ask for a permit."""
        with self._lock:
            moment = self._moment(policy, reporter)
            answer = machine.admit(self._circuit(name), lease, moment)
            return Admission(answer.granted, answer.lease, self._keep(answer.step, moment), answer.ask_again_ms)

    def settle(
        self, name: str, generation: int, lease: str, result: Result, slow: bool, policy: BreakerPolicy, reporter: str
    ) -> Snapshot:
        """Give a probe's lease back with its result."""
        with self._lock:
            moment = self._moment(policy, reporter)
            step = machine.settle(self._circuit(name), generation, lease, result, slow, moment)
            return self._keep(step, moment)

    def renew(self, name: str, lease: str, policy: BreakerPolicy) -> bool:
        """Keep a probe's lease alive."""
        with self._lock:
            renewed = machine.renew(self._circuit(name), lease, self._moment(policy))
            if renewed is not None:
                self._circuits[name] = renewed
            return renewed is not None

    def override(
        self,
        name: str,
        override: Override,
        seconds: float | None,
        order: Order,
        policy: BreakerPolicy,
        soft: bool = False,
    ) -> Snapshot:
        """Set or end an operator's decision."""
        length = None if seconds is None else milliseconds(seconds)
        return self._obey(name, order, policy, lambda c, m: machine.override(c, override, length, soft, m))

    def open_for(self, name: str, seconds: float, order: Order, policy: BreakerPolicy) -> Snapshot:
        """Open now."""
        length = round(seconds * 1000)
        return self._obey(name, order, policy, lambda c, m: machine.open_for(c, length, m))

    def reset(self, name: str, order: Order, policy: BreakerPolicy) -> Snapshot:
        """Back to CLOSED."""
        return self._obey(name, order, policy, machine.reset)

    def read(self, names: Sequence[str]) -> list[Status]:
        """Everything about these circuits."""
        with self._lock:
            return [status_of(self._circuit(name), self._clock()) for name in names]

    def names(self) -> list[str]:
        """Circuits heard of, sorted."""
        with self._lock:
            return sorted(self._circuits)

    def history(self, name: str, limit: int = 50) -> list[Transition]:
        """The latest changes, newest first."""
        with self._lock:
            return list(reversed(self._history.get(checked_name(name), ())))[:limit]

    def _obey(
        self, name: str, order: Order, policy: BreakerPolicy, step: Callable[[Circuit, Moment], Step]
    ) -> Snapshot:
        with self._lock:
            circuit = self._circuit(name)
            check_generation(name, circuit.generation, order)
            moment = Moment(self._clock(), self._random.random(), policy, actor=order.actor, why=order.why)
            return self._keep(step(circuit, moment), moment)

    def _moment(self, policy: BreakerPolicy, reporter: str = "") -> Moment:
        return Moment(self._clock(), self._random.random(), policy, reporter)

    def _circuit(self, name: str) -> Circuit:
        return self._circuits.get(name) or Circuit(checked_name(name))

    def _keep(self, step: Step, moment: Moment) -> Snapshot:
        circuit = step.circuit
        if circuit.generation > 0:
            self._circuits[circuit.name] = circuit
        if step.transitions:
            self._history.setdefault(circuit.name, deque(maxlen=_HISTORY)).extend(step.transitions)
        return snapshot_of(circuit, moment.now_ms, moment.policy)

"""The permits of one run: taken before the pool gets it, settled when its end is known."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from fluxora_tasks.breaker.live import LiveBreaker
from fluxora_tasks.breaker.permit import Permit, Refusal
from fluxora_tasks.breaker.record import Result
from fluxora_tasks.breaker.verdict import judged
from fluxora_tasks.classification import Classifier
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.task.options import is_name, names_of

logger = logging.getLogger(__name__)


class Permits:
    """
    The permits of one run; of several ends the first counts.

    Args:
        classifier: What an error of the task means.
    """

    def __init__(self, taken: Sequence[Permit], classifier: Classifier) -> None:
        self._taken, self._classifier = taken, classifier

    def succeeded(self, duration: float | None) -> None:
        """The run gave a result; ``duration`` in seconds, ``None``: since the permit was taken."""
        for permit in self._take():
            permit.success(duration)

    def failed(self, error: BaseException, duration: float | None) -> None:
        """The run raised; the task's classifier says what that means."""
        result = judged(error, self._classifier)
        if result is Result.EXCLUDED:
            self.excluded()
        elif result is Result.SUCCESS:
            self.succeeded(duration)
        else:
            for permit in self._take():
                permit.failure(error, duration)

    def excluded(self) -> None:
        """The end says nothing about the other side, or there was no run."""
        for permit in self._take():
            permit.ignore()

    def _take(self) -> Sequence[Permit]:
        taken, self._taken = self._taken, ()
        return taken


def take(circuits: Sequence[LiveBreaker], classifier: Classifier) -> Permits | CircuitBreakerError:
    """Permits of all circuits, or the refusal of the first that gives none; then none is kept."""
    if len(circuits) > 1:
        # looked at first, so that no probe is taken of one circuit while another is open
        refusal = next((refusal for circuit in circuits if (refusal := circuit.peek()) is not None), None)
        if refusal is not None:
            return refusal.error()
    taken: list[Permit] = []
    for circuit in circuits:
        answer = circuit.try_acquire()
        if isinstance(answer, Refusal):
            Permits(taken, classifier).excluded()
            return answer.error()
        taken.append(answer)
    return Permits(taken, classifier)


class CircuitNames:
    """The circuits a run needs; a function that cannot say is reported once, and its task runs without."""

    def __init__(self) -> None:
        self._complained: set[str] = set()
        self._lock = threading.Lock()

    def of(self, task: str, breaker: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Their names, in order, each once."""
        if not callable(breaker):
            return names_of(breaker)
        try:
            named = breaker(*args, **kwargs)
        except Exception as exc:  # noqa: BLE001 - the application's own function
            self._complain(task, f"raised {type(exc).__name__}")
            return ()
        return self._checked(task, named)

    def _checked(self, task: str, named: Any) -> tuple[str, ...]:
        names = names_of(named)
        if named is not None and not (names and all(map(is_name, names))):
            self._complain(task, f"gave no name of a circuit but a {type(named).__name__}")
            return ()
        return tuple(dict.fromkeys(names))

    def _complain(self, task: str, what: str) -> None:
        with self._lock:
            if task in self._complained:
                return
            self._complained.add(task)
        logger.warning("task %s runs without a circuit: the function given as breaker= %s", task, what)

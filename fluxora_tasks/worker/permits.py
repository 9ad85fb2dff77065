"""The permits of one run: taken before the pool gets it, settled when its end is known."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from fluxora_tasks.classification import REPEATABLE, Outcome
from fluxora_tasks.task.admission import Refusal
from fluxora_tasks.task.options import names_of

logger = logging.getLogger(__name__)

_FAILURES: Final = REPEATABLE | {Outcome.FAILURE_FATAL}


class Permit(Protocol):
    """Leave for one run."""

    def success(self, duration: float | None = None) -> Any:
        """It ended well."""
        ...

    def failure(self, error: BaseException | None = None, duration: float | None = None) -> Any:
        """It failed."""
        ...

    def ignore(self) -> Any:
        """Its end says nothing about the dependency."""
        ...

    def release(self) -> Any:
        """It was not made."""
        ...


class Circuit(Protocol):
    """What gives permits."""

    def peek(self) -> Refusal | None:
        """What it would refuse with now; no I/O."""
        ...

    def try_acquire(self) -> Any:
        """A permit, or a refusal."""
        ...


class Permits:
    """The permits of one run; of several ends the first counts.

    Args:
        classify: What an error of the task means.
    """

    def __init__(self, taken: Sequence[Permit], classify: Callable[[BaseException], Outcome]) -> None:
        self._taken, self._classify = taken, classify

    def succeeded(self, duration: float | None) -> None:
        """The run gave a result."""
        for permit in self._take():
            permit.success(duration)

    def failed(self, error: BaseException, duration: float | None) -> None:
        """The run raised; the task's classifier says what that means."""
        outcome = self._outcome(error)
        if outcome is Outcome.IGNORED:
            self.excluded()
        elif outcome in _FAILURES:
            for permit in self._take():
                permit.failure(error, duration)
        else:
            self.succeeded(duration)

    def excluded(self) -> None:
        """The end says nothing: revoked, rejected, ended from outside."""
        for permit in self._take():
            permit.ignore()

    def given_back(self) -> None:
        """There was no run, or nobody will learn how it ended."""
        for permit in self._take():
            permit.release()

    def _take(self) -> Sequence[Permit]:
        taken, self._taken = self._taken, ()
        return taken

    def _outcome(self, error: BaseException) -> Outcome:
        try:
            return self._classify(error)
        except Exception:
            logger.exception("classifying a failure failed; it counts as one")
            return Outcome.FAILURE_FATAL


def take(circuits: Sequence[Circuit], classify: Callable[[BaseException], Outcome]) -> Permits | Refusal:
    """Permits of all circuits, or the refusal of the first that gives none; then none is kept."""
    if len(circuits) > 1:
        # asked first, so that no probe is taken of one circuit while another is open
        refusal = next((refusal for circuit in circuits if (refusal := circuit.peek()) is not None), None)
        if refusal is not None:
            return refusal
    taken: list[Permit] = []
    for circuit in circuits:
        answer = circuit.try_acquire()
        if not hasattr(answer, "settle"):
            Permits(taken, classify).given_back()
            return answer  # type: ignore[no-any-return]  # a permit or a refusal
        taken.append(answer)
    return Permits(taken, classify)


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
        if named is not None and (not names or not all(isinstance(name, str) and name for name in names)):
            self._complain(task, f"gave a {type(named).__name__} instead of a name")
            return ()
        return tuple(dict.fromkeys(names))

    def _complain(self, task: str, what: str) -> None:
        with self._lock:
            if task in self._complained:
                return
            self._complained.add(task)
        logger.warning("task %s runs without a circuit: the function given as breaker= %s", task, what)

"""Permit and Refusal: the two answers to a call that wants to be made."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from fluxora_tasks.breaker.record import Result
from fluxora_tasks.breaker.view import View
from fluxora_tasks.errors import CircuitBreakerError

if TYPE_CHECKING:
    from fluxora_tasks.breaker.live import LiveBreaker


class Refusal(NamedTuple):
    """
    The call may not be made.

    Attributes:
        name: Of the circuit; empty for one without a name.
        state: OPEN, HALF_OPEN or FORCED_OPEN.
        retry_after: Seconds until asking again makes sense; from 0.
    """

    name: str
    state: str
    retry_after: float

    def error(self) -> CircuitBreakerError:
        """The same as an exception."""
        return CircuitBreakerError(self.name, self.state, self.retry_after)


class Permit:
    """
    The call may be made; say once how it ended, what is said later changes nothing.

    As a context manager it is settled with the block.

    Attributes:
        view: What the circuit was seen as.
        lease: Of a probe; ``None`` for any other call.
        is_patient: Whether whoever ends a probe may wait a moment for what its result led to.
        began: Monotonic seconds.
        renewed: When the lease was last kept alive.
        is_counted: It is overdue, and was counted as slow.
    """

    __slots__ = (
        "__weakref__",
        "_circuit",
        "_is_settled",
        "began",
        "is_counted",
        "is_patient",
        "lease",
        "renewed",
        "view",
    )

    def __init__(self, circuit: LiveBreaker, view: View, lease: str | None = None, is_patient: bool = True) -> None:
        self._circuit, self.view, self.lease = circuit, view, lease
        self.is_patient = is_patient
        self.began = self.renewed = circuit.monotonic()
        self._is_settled = self.is_counted = False

    def success(self, duration: float | None = None) -> None:
        """The other side did its work; ``duration`` in seconds, measured by the permit where it is not given."""
        self._end(Result.SUCCESS, duration)

    def failure(self, error: BaseException | None = None, duration: float | None = None) -> None:
        """The other side is to blame."""
        self._end(Result.FAILURE, duration, error)

    def ignore(self) -> None:
        """It ended in a way that says nothing about the other side; a probe's place is free at once."""
        self._end(Result.EXCLUDED)

    def release(self) -> None:
        """The call was not made after all; as ``ignore``."""
        self._end(Result.EXCLUDED)

    def settle(self, error: BaseException | None, duration: float | None = None) -> Result:
        """How it ended, as the circuit's classifier sees it (which is returned); ``None``: without an error."""
        result = self._circuit.judge(error)
        self._end(result, duration, error)
        return result

    def settle_value(self, value: object) -> None:
        """It returned; the policy's ``trip_on`` may take that for a failure."""
        tripped = self._circuit.trips(value)
        self._end(Result.SUCCESS if tripped is None else Result.FAILURE, trip_ms=tripped)

    def _end(
        self,
        result: Result,
        duration: float | None = None,
        error: BaseException | None = None,
        trip_ms: int | None = None,
    ) -> None:
        if not self._is_settled:
            self._is_settled = True
            if error is not None and result is Result.FAILURE:
                trip_ms = self._circuit.trips(error)
            self._circuit.ended(self, result, duration, trip_ms)

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.settle(error)

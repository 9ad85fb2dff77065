"""Every error of this library (bottom layer, pure).

Arguments are positional and kept in ``args``, so that each error survives pickle.
``code`` is stable and lower case; texts for people live at the edge.
"""

from __future__ import annotations


class FluxoraError(Exception):
    """Base of everything this library raises on purpose."""

    code = "error"


class RetryableError(FluxoraError):
    """Worth another attempt.

    Args:
        message: What happened.
        retry_after: Seconds the other side asked us to wait; wins over the backoff curve, under its cap.
    """

    code = "retryable"

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class NonRetryableError(FluxoraError):
    """Never retried; goes to the ledger at once."""

    code = "non_retryable"


class TaskAborted(NonRetryableError):
    """A task's body raised what would have ended its process: SystemExit, MemoryError, or another BaseException.

    Args:
        original_type: Qualified name of what it raised.
        text: Its text.
    """

    code = "task.aborted"

    def __init__(self, original_type: str, text: str = "") -> None:
        super().__init__(original_type, text)
        self.original_type = original_type

    def __str__(self) -> str:
        return f"{self.original_type}: {self.args[1]}"


class ConfigurationError(FluxoraError):
    """A setting or option that cannot work; raised when declared or installed, never while a task runs."""

    code = "configuration"


class InfrastructureError(FluxoraError):
    """One of our own parts is away."""

    code = "infrastructure"


class StoreUnavailable(InfrastructureError):
    """The Redis that holds shared state does not answer."""

    code = "store.unavailable"


class BrokerUnavailable(InfrastructureError):
    """The broker does not answer."""

    code = "broker.unavailable"


class LedgerUnavailable(InfrastructureError):
    """The SQL ledger does not answer, or has no schema yet."""

    code = "ledger.unavailable"


class EnvelopeUnreadable(InfrastructureError):
    """A note in the dead-letter queue that this release cannot read."""

    code = "envelope.unreadable"


class MissingExtra(ConfigurationError):
    """An optional part was asked for whose packages are not installed.

    Args:
        extra: Name of the extra to install.
        purpose: What needs it.
    """

    code = "extra.missing"

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(extra, purpose)
        self.extra = extra

    def __str__(self) -> str:
        extra, purpose = self.args
        return f"{purpose} needs an extra: pip install 'fluxora-tasks[{extra}]'"


class RefusedError(FluxoraError):
    """We declined to do it; nothing was changed."""

    code = "refused"


class UnknownDeadLetter(RefusedError):
    """No record has this id."""

    code = "dead_letter.unknown"

    def __init__(self, dead_id: str) -> None:
        super().__init__(dead_id)

    def __str__(self) -> str:
        return f"no dead letter has the id {self.args[0]!r}; see: fluxora dead list"


class UnknownGroup(RefusedError):
    """No group has this id."""

    code = "group.unknown"

    def __init__(self, group_id: str) -> None:
        super().__init__(group_id)

    def __str__(self) -> str:
        return f"no group has the id {self.args[0]!r}; see: fluxora groups list"


class UnknownOperation(RefusedError):
    """No bulk operation has this id."""

    code = "operation.unknown"

    def __init__(self, operation_id: str) -> None:
        super().__init__(operation_id)

    def __str__(self) -> str:
        return f"no operation has the id {self.args[0]!r}; see: fluxora operations list"


class UnknownCircuit(RefusedError):
    """Nobody has used a circuit of this name.

    Args:
        name: As asked for.
        near: Known names like it.
    """

    code = "breaker.unknown"

    def __init__(self, name: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(name, near)

    def __str__(self) -> str:
        name, near = self.args
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "see: fluxora breakers list"
        return f"nobody has used a circuit {name!r}; {hint}"


class ConflictError(RefusedError):
    """Somebody else got there first, or the record is not in a state that allows it."""

    code = "conflict"


class CircuitBreakerError(RefusedError):
    """A circuit is open: the call was not made, nothing failed, no attempt was used.

    Args:
        name: Of the circuit; empty for one without a name.
        state: OPEN, HALF_OPEN or FORCED_OPEN.
        retry_after: Seconds until asking again makes sense; from 0.
    """

    code = "breaker.open"

    def __init__(self, name: str = "", state: str = "OPEN", retry_after: float = 0.0) -> None:
        super().__init__(name, state, retry_after)
        self.name = name
        self.state = state
        self.retry_after = max(0.0, retry_after)

    def __str__(self) -> str:
        return f"circuit {self.name or '(unnamed)'} is {self.state}; ask again in {self.retry_after:.1f} s"


class NoFallbackValue(FluxoraError):
    """A fallback had nothing to give; where a call failed before, that call's error is raised instead.

    Args:
        message: Why, step by step.
    """

    code = "fallback.empty"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

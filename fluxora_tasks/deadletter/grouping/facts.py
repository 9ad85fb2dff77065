"""What is known of a failure when it is grouped (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from fluxora_tasks.deadletter.envelope import Kind


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """One exception.

    Attributes:
        type: Qualified name.
        message: Its text as it is; empty where it has none.
    """

    type: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class FailureFacts:
    """
    One failure, as it was: nothing redacted.

    Attributes:
        kind: Why the message died.
        task: Name of the task, or empty.
        queue: The queue the message came from.
        errors: The exception and what it was raised from, root cause last; empty where no exception is known.
        types: Qualified names of what the root cause is: one, or those of the leaves of an exception group.
        frame: ``module:function`` of the innermost frame of the application in the root cause; empty where unknown.
        status: What a server or a database answered, such as ``status=503`` or ``sqlstate=40001``.
        detail: What else tells failures of a kind apart, such as ``signal=SIGKILL`` or ``breaker=api``.
        content_type: Of the message.
        text: What was said where there is no exception.
        hook: What the task's own ``fingerprint`` gave.
    """

    kind: Kind
    task: str = ""
    queue: str = ""
    errors: tuple[ErrorFacts, ...] = ()
    types: tuple[str, ...] = ()
    frame: str = ""
    status: str = ""
    detail: str = ""
    content_type: str = ""
    text: str = ""
    hook: tuple[str, ...] = ()

    @property
    def root(self) -> ErrorFacts | None:
        """The root cause."""
        return self.errors[-1] if self.errors else None

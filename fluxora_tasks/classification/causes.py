"""The chain of errors behind an error (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from fluxora_tasks.classification.outcome import qualified_name

#: How many errors of a chain are looked at, the first included.
_MAX_CAUSES = 5

#: How many errors of one group are looked at.
_MAX_LEAVES = 50


def causes_of(error: BaseException, implicit: bool = False) -> Iterator[BaseException]:
    """
    The error itself, then what it was raised from, nearest first; at most five, a loop ends.

    Celery's ``Retry`` stands for the error it carries.

    Args:
        implicit: Also follow the error that was being handled, where nothing explicit is given (nor ``from None``).
    """
    current: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if current is None:
            return
        yield current
        current = cause_of(current) or (_context_of(current) if implicit else None)


def cause_of(error: BaseException) -> BaseException | None:
    """What an error was explicitly raised from, or carries."""
    cause = getattr(error, "__cause__", None)
    if cause is None and qualified_name(type(error)) == "celery.exceptions.Retry":
        cause = getattr(error, "exc", None)
    return cause if isinstance(cause, BaseException) else None


def _context_of(error: BaseException) -> BaseException | None:
    return None if error.__suppress_context__ else error.__context__


def leaves_of(error: BaseException) -> list[BaseException]:
    """The errors of a group, and of groups in it; of any other error the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [error]
    while waiting and len(leaves) < _MAX_LEAVES:
        current = waiting.pop()
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(reversed(current.exceptions))
        else:
            leaves.append(current)
    return leaves

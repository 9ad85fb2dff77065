"""How a run ended, beyond its result: what what circuits have to know of a result that a fallback gave [celery].

The pool hands a success to the main process as the text of its result. Where the body failed or was not called, that
text is a ``ToldResult``, a string with more to say; to everybody else it is the text.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from celery.utils.serialization import get_pickleable_exception

_behind: ContextVar[tuple[bool, BaseException | None] | None] = ContextVar("fluxora_behind_result", default=None)


class ToldResult(str):
    """The text of a result that is not the body's own.

    Attributes:
        attempted: Whether the body was called; if so, ``error`` is how it failed.
        error: Fit to be pickled.
    """

    attempted: bool
    error: BaseException | None


def body_failed(error: BaseException) -> None:
    """The result of the current run is a fallback's, for this failure of the body."""
    _behind.set((True, error))


def body_not_called() -> None:
    """The result of the current run is a fallback's, and the body was not called."""
    _behind.set((False, None))


def forget() -> None:
    """Another run begins."""
    _behind.set(None)


def told(text: Any) -> Any:
    """The text of a result, with what is behind it, if that is not the body alone."""
    behind = _behind.get()
    if behind is None or not isinstance(text, str):
        return text
    _behind.set(None)
    result = ToldResult(text)
    result.attempted, error = behind
    result.error = None if error is None else get_pickleable_exception(error)
    return result

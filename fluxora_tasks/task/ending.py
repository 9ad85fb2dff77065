"""How a run ended, beyond its result: what circuits have to know of a result that a fallback gave [celery].

The pool hands a success to the main process as the text of its result. Where the body failed or was not called, that
text is a ``ToldResult``, a string with more to say; to everybody else it is the text.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from celery.utils.serialization import get_pickleable_exception

#: Of the run that is under way: what is behind a fallback's result, see ``ToldResult.error``.
_behind: ContextVar[tuple[BaseException | None] | None] = ContextVar("fluxora_behind_result", default=None)


class ToldResult(str):
    """The text of a result that is not the body's own.

    Attributes:
        error: How the body failed, fit to be pickled; ``None``: it was not called.
    """

    error: BaseException | None


def body_failed(error: BaseException) -> None:
    """The result of the current run is a fallback's, for this failure of the body."""
    _behind.set((error,))


def body_not_called() -> None:
    """The result of the current run is a fallback's, and the body was not called."""
    _behind.set((None,))


def forget() -> None:
    """Another run begins."""
    _behind.set(None)


def told(text: Any) -> Any:
    """The text of a result, with what is behind it, if that is not the body alone."""
    behind = _behind.get()
    if behind is None or not isinstance(text, str):
        return text
    forget()
    result, (error,) = ToldResult(text), behind
    result.error = None if error is None else get_pickleable_exception(error)
    return result

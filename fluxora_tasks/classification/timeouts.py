"""Telling a timeout from other failures (pure): it held its caller up for longest."""

from __future__ import annotations

from fluxora_tasks.classification.causes import causes_of

_ENDINGS = ("Timeout", "TimeoutError", "TimeoutException", "DeadlineExceeded")


def is_timeout(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is a timeout by its type or by the name of its type."""
    return any(_named_so(cause) for cause in causes_of(error))


def _named_so(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or any(cls.__name__.endswith(_ENDINGS) for cls in type(error).__mro__)

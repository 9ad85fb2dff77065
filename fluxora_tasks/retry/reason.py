"""Why an error was not retried, left on the error itself."""

from __future__ import annotations

import contextlib
from typing import Final

from fluxora_tasks.retry.decision import GiveUpReason

_REASON: Final = "_fx_give_up"

#: What a reader of the traceback would not guess from the error.
_NOTES: Final = {
    GiveUpReason.BUDGET: "not tried again: the retry budget is spent",
    GiveUpReason.DEADLINE: "not tried again: the deadline would have passed",
    GiveUpReason.RETRY_AFTER: "not tried again: the other side asked for a longer wait than the policy allows",
}


def give_up_reason(error: BaseException) -> GiveUpReason | None:
    """Why ``retry`` made no further attempt after this error; ``None`` where it was not asked."""
    reason = getattr(error, _REASON, None)
    return reason if isinstance(reason, GiveUpReason) else None


def leave_reason(error: BaseException, reason: GiveUpReason) -> None:
    """Leave the reason on an error, and a note in its traceback; one that takes neither stays bare."""
    with contextlib.suppress(Exception):  # a foreign error may refuse attributes
        setattr(error, _REASON, reason)
        note = _NOTES.get(reason)
        if note and note not in getattr(error, "__notes__", ()):
            error.add_note(note)

"""The fingerprint of a dead letter that came without one: from the broker, or from a worker of an older release (pure).

Less is known than where the failure happened: no frames, no causes, and texts are redacted already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from fluxora_tasks.deadletter.envelope import DeadLetter, Kind
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping.facts import ErrorFacts, FailureFacts
from fluxora_tasks.deadletter.grouping.rules import BUILT_IN, Grouping
from fluxora_tasks.deadletter.grouping.version1 import fingerprint_of

#: Kind -> how its text tells what is compared, and the name of that.
_DETAILS: Final[Mapping[Kind, tuple[tuple[str, re.Pattern[str]], ...]]] = {
    Kind.WORKER_LOST: (
        ("signal", re.compile(r"\bsignal \d+ \((\w+)\)")),
        ("signal", re.compile(r"\bsignal (\d+)")),
        ("exit", re.compile(r"\bexitcode (-?\d+)")),
    ),
    Kind.BREAKER_TIMEOUT: (
        ("breaker", re.compile(r"\bcircuit ['\"]?(.{1,200}?)['\"]? is (?:still )?(?:OPEN|HALF_OPEN|FORCED_OPEN)\b")),
    ),
    Kind.BROKER_DLQ: (("reason", re.compile(r"^([a-z_]{1,40}):")),),
}  # fmt: skip


def detail_in(kind: Kind, text: str) -> str:
    """What a text says that tells failures of its kind apart, such as ``signal=SIGKILL``; empty for nothing."""
    found = ((name, pattern.search(text)) for name, pattern in _DETAILS.get(kind, ()))
    return next((f"{name}={match[1]}" for name, match in found if match is not None), "")


def facts_of_letter(letter: DeadLetter) -> FailureFacts:
    """What a dead letter alone tells."""
    error = ErrorFacts(letter.exception_type, letter.message) if letter.exception_type else None
    return FailureFacts(
        kind=letter.kind,
        task=letter.task,
        queue=letter.queue,
        errors=(error,) if error is not None else (),
        types=(error.type,) if error is not None else (),
        detail=detail_in(letter.kind, letter.message),
        content_type=letter.payload.content_type or "",
        text=letter.message,
    )


def fingerprint_of_letter(letter: DeadLetter, grouping: Grouping = BUILT_IN) -> Fingerprint:
    """Its own fingerprint, else one of what it tells."""
    return letter.fingerprint or fingerprint_of(facts_of_letter(letter), grouping)

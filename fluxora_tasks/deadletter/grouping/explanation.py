"""Why a failure is in its group, in words; from the stored fingerprint alone (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fluxora_tasks.deadletter.fingerprint import Fingerprint

#: Step -> what decided. Any other step is a kind of dead letter.
_STEPS: Final[Mapping[str, str]] = {
    "rule": "a rule of the grouping file",
    "hook": "the task's own fingerprint()",
    "frame": "the error and the function that raised it",
    "message": "the error and its text; where it was raised is not known",
}

#: Name of a part -> its label.
_LABELS: Final[Mapping[str, str]] = {
    "type": "Error",
    "at": "Raised in",
    "status": "Status",
    "sqlstate": "SQLSTATE",
    "sqlite": "SQLite error",
    "message": "Text without values",
    "task": "Task",
    "queue": "Queue",
    "content": "Content type",
    "kind": "Kind",
    "signal": "Signal",
    "exit": "Exit code",
    "breaker": "Circuit",
    "reason": "Broker's reason",
    "rule": "Rule",
    "key": "Key",
    "custom": "Value",
}


def explain(fingerprint: Fingerprint) -> list[tuple[str, str]]:
    """Lines of ``(label, text)``: what decided, then every part that was compared."""
    decided = _STEPS.get(fingerprint.step, f"what ended it: {fingerprint.step}")
    return [("Grouped by", decided), *map(_line, fingerprint.parts), ("Rules", f"version {fingerprint.version}")]


def _line(part: str) -> tuple[str, str]:
    name, separator, value = part.partition("=")
    return (_LABELS.get(name, name), value) if separator else ("Part", part)

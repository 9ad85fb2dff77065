"""Version 1 of the rules: from the facts of a failure to its fingerprint (pure).

The first step that knows an answer decides:

1. a rule of the application, then the task's own ``fingerprint``;
2. what is no exception of the body, by its kind;
3. an exception by its root cause: its type and the function of the application where it was raised. Its text joins in
   only where there is no such function, or where the type says nothing; without its values.

A part is ``what=value``, readable by itself. What would give equal failures other parts is a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping.facts import FailureFacts
from fluxora_tasks.deadletter.grouping.parameters import parameterise, tidy
from fluxora_tasks.deadletter.grouping.rules import BUILT_IN, Grouping

#: Types that are raised for anything.
GENERIC: Final = frozenset(
    {
        "builtins.Exception",
        "builtins.RuntimeError",
        "builtins.ValueError",
        "builtins.KeyError",
        "builtins.BaseException",
    }
)

#: Kind -> what tells its failures apart, beside the kind itself. All other kinds are exceptions of a body.
_BY_KIND: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.UNKNOWN_TASK: ("task",),
    Kind.UNDECODABLE: ("content", "type", "message"),
    Kind.CONTENT_REFUSED: ("content", "type", "message"),
    Kind.NOT_A_TASK: ("content", "type", "message"),
    Kind.BAD_ARGUMENTS: ("task", "type", "message"),
    Kind.EXPIRED: ("task", "queue"),
    Kind.REVOKED: ("task", "queue"),
    Kind.DEADLINE: ("task", "queue"),
    Kind.WORKER_LOST: ("task", "detail"),
    Kind.POISON_SUSPECT: ("task",),
    Kind.SOFT_TIME_LIMIT: ("task", "at"),
    Kind.HARD_TIME_LIMIT: ("task", "at"),
    Kind.BREAKER_TIMEOUT: ("detail",),
    Kind.BROKER_DLQ: ("queue", "detail"),
    Kind.DELIVERY_LIMIT: ("task", "queue"),
}


def fingerprint_of(facts: FailureFacts, grouping: Grouping = BUILT_IN) -> Fingerprint:
    """What a failure has in common with those like it; for any facts, unless ``grouping.redact`` raises."""
    return (
        _by_rule(facts, grouping)
        or _by_hook(facts, grouping)
        or _by_kind(facts, grouping)
        or _by_exception(facts, grouping)
    )


def _by_rule(facts: FailureFacts, grouping: Grouping) -> Fingerprint | None:
    for rule in grouping.rules:
        key = rule.key_for(facts)
        if key is not None:
            name = (f"rule={tidy(rule.name)}",) if rule.name else ()
            return Fingerprint("rule", (*name, f"key={tidy(grouping.redact(key))}"))
    return None


def _by_hook(facts: FailureFacts, grouping: Grouping) -> Fingerprint | None:
    if not facts.hook:
        return None
    return Fingerprint("hook", tuple(f"custom={tidy(grouping.redact(value))}" for value in facts.hook))


def _by_kind(facts: FailureFacts, grouping: Grouping) -> Fingerprint | None:
    names = _BY_KIND.get(facts.kind)
    if names is None:
        return None
    found = [part for name in names for part in _named(name, facts, grouping)]
    return Fingerprint(str(facts.kind), (f"kind={facts.kind}", *found))


def _by_exception(facts: FailureFacts, grouping: Grouping) -> Fingerprint:
    names = ["type", "at", "status"]
    if not facts.status and (not facts.frame or facts.root is None or facts.root.type in GENERIC):
        names.append("message")
    if grouping.by_task:
        names.append("task")
    found = [part for name in names for part in _named(name, facts, grouping)]
    return Fingerprint("frame" if facts.frame else "message", tuple(found) or (f"kind={facts.kind}",))


def _named(name: str, facts: FailureFacts, grouping: Grouping) -> tuple[str, ...]:
    """The parts of one name; none where the facts do not say."""
    match name:
        case "type":
            return tuple(f"type={tidy(one)}" for one in facts.types)
        case "message":
            message = tidy(parameterise(grouping.redact(facts.root.message if facts.root else facts.text)))
            return (f"message={message}",) if message else ()
        case "status" | "detail":
            value = tidy(getattr(facts, name))
            return (value,) if value else ()
        case "content":
            value = tidy(parameterise(grouping.redact(facts.content_type.partition(";")[0])))
        case "at":
            value = tidy(facts.frame)
        case _:
            value = tidy(getattr(facts, name))
    return (f"{name}={value}",) if value else ()

"""What the scripts and keys of circuits say, as records (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fluxora_tasks.breaker.circuit import Circuit, status_of
from fluxora_tasks.breaker.record import CircuitState, Counts, Override, Snapshot, Status, Transition
from fluxora_tasks.breaker.window import Bucket, Window

#: Fields of the hash of a circuit at rest -> attribute of ``Circuit``.
_NUMBERS: Final = {
    "gen": "generation",
    "since": "since_ms",
    "until": "until_ms",
    "closed_since": "closed_since_ms",
    "att": "attempts",
    "issued": "issued",
    "ok": "ok",
    "bad": "bad",
    "lost": "lost",
    "ovr_until": "override_until_ms",
    "failed": "last_failure_ms",
    "late": "late",
    "refused": "refused",
}
_TEXTS: Final = {"reason": "reason", "ovr_by": "override_by", "ovr_why": "override_why", "cfg": "digest"}

FIELDS: Final = (*_NUMBERS, *_TEXTS, "st", "ovr")

#: Values at the end of each script's answer.
SNAPSHOT_LENGTH: Final = 20


def snapshot_of_answer(name: str, answer: Sequence[Any]) -> Snapshot:
    """The snapshot at the end of a script's answer."""
    (state, generation, now, since, until, attempts, reason, override, override_until, by, why,
     calls, failures, slow, failed, digest, issued, ok, bad, lost) = answer[-SNAPSHOT_LENGTH:]  # fmt: skip
    return Snapshot(
        name=name,
        state=CircuitState(_text(state)),
        generation=generation,
        now_ms=now,
        since_ms=since,
        until_ms=until,
        attempts=attempts,
        reason=_text(reason),
        override=Override(_text(override)),
        override_until_ms=override_until,
        override_by=_text(by),
        override_why=_text(why),
        counts=Counts(calls, failures, slow),
        last_failure_ms=failed,
        digest=_text(digest),
        issued=issued,
        ok=ok,
        bad=bad,
        lost=lost,
    )


def snapshot_of_push(payload: bytes) -> Snapshot | None:
    """The snapshot in a message of the channel, without counts; ``None`` for one that is not ours."""
    try:
        said = json.loads(payload)
        return Snapshot(**{**said, "state": CircuitState(said["state"]), "override": Override(said["override"])})
    except (ValueError, TypeError, KeyError):
        return None


def status_of_answers(
    name: str, now_ms: int, rest: Sequence[bytes | None], window: Mapping[bytes, bytes], leases: Sequence[Any]
) -> Status:
    """A status from the three keys of a circuit."""
    said = {field: value.decode("utf-8", "replace") for field, value in zip(FIELDS, rest, strict=True) if value}
    plain: dict[str, Any] = {attribute: int(said.get(field, 0)) for field, attribute in _NUMBERS.items()}
    plain |= {attribute: said.get(field, "") for field, attribute in _TEXTS.items()}
    circuit = Circuit(
        name=name,
        state=CircuitState(said.get("st", "CLOSED")),
        override=Override(said.get("ovr", "NONE")),
        window=window_of_hash(window),
        leases={_text(lease): int(expiry) for lease, expiry in leases},
        **plain,
    )
    return status_of(circuit, now_ms)


def window_of_hash(stored: Mapping[bytes, bytes]) -> Window:
    """A window as the scripts keep it."""
    ring: dict[int, Bucket] = {}
    reporters: dict[str, int] = {}
    bucket_ms, buckets = 0, 0
    for field, value in stored.items():
        if field == b"g":
            bucket_ms, buckets = map(int, value.split(b":")[:2])
        elif field.startswith(b"r:"):
            reporters[_text(field[2:])] = int(value)
        else:
            number, calls, failures, slow = map(int, value.split(b":"))
            ring[int(field)] = Bucket(number, Counts(calls, failures, slow))
    return Window(bucket_ms, buckets, ring, reporters)


def transition_of_entry(name: str, fields: Mapping[bytes, bytes]) -> Transition:
    """A line of history as the scripts write it."""
    said = {_text(key): _text(value) for key, value in fields.items()}
    return Transition(
        name=name,
        at_ms=int(said.pop("at")),
        event=said.pop("event"),
        previous=said.pop("previous"),
        current=said.pop("current"),
        generation=int(said.pop("gen")),
        reason=said.pop("reason"),
        reporter=said.pop("reporter"),
        actor=said.pop("actor"),
        why=said.pop("why"),
        facts=said,
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")

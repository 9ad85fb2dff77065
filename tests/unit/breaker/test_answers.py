"""What the scripts say, as records."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fluxora_tasks.breaker.record import CircuitState, Counts, Override, Snapshot
from fluxora_tasks.breaker.stores.answers import snapshot_of_push, window_of_hash
from fluxora_tasks.breaker.window import Bucket, Window

PUSHED: dict[str, Any] = {
    "name": "api",
    "state": "OPEN",
    "generation": 1_700_000_000_000,
    "since_ms": 1_700_000_000_000,
    "until_ms": 1_700_000_005_000,
    "attempts": 1,
    "reason": "tripped",
    "override": "METRICS_ONLY",
    "override_until_ms": 0,
    "override_by": "zoë",
    "override_why": "",
    "digest": "12345678",
    "now_ms": 1_700_000_000_000,
}


def test_a_message_is_a_snapshot() -> None:
    """Without counts."""
    wanted = Snapshot(**{**PUSHED, "state": CircuitState.OPEN, "override": Override.METRICS_ONLY})
    assert snapshot_of_push(json.dumps(PUSHED).encode()) == wanted


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'"OPEN"',
        b"{}",
        json.dumps({**PUSHED, "state": "AJAR"}).encode(),  # of a version to come
        json.dumps({**PUSHED, "extra": 1}).encode(),
        json.dumps({key: value for key, value in PUSHED.items() if key != "override"}).encode(),
        json.dumps({key: value for key, value in PUSHED.items() if key != "name"}).encode(),
    ],
)
def test_other_messages_say_nothing(payload: bytes) -> None:
    """Whatever somebody publishes on the channel."""
    assert snapshot_of_push(payload) is None


def test_a_window_as_it_is_kept() -> None:
    """Buckets by their place, workers by their name, whatever that is, and the shape of the last report."""
    stored = {b"4": b"1004:5:2:1", b"r:r:4": b"1004", b"r:": b"1003", b"g": b"10000:6:1004:5:2:1"}
    assert window_of_hash(stored) == Window(10_000, 6, {4: Bucket(1004, Counts(5, 2, 1))}, {"r:4": 1004, "": 1003})
    assert window_of_hash({}) == Window()

"""A message that is put off."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from fluxora_tasks.worker.deferral import Crowd, deferral_of

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def message(headers: Any = None, body: Any = b"[]", **properties: Any) -> Any:
    return SimpleNamespace(
        body=body,
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        properties=properties,
    )


def test_it_is_the_same_message() -> None:
    """Its ids, attempts, expiry and the user's headers stay; what belongs to this delivery goes."""
    received = {
        "id": "one",
        "task": "t",
        "retries": 2,
        "expires": "2030-01-01",
        "fx_message_id": "m",
        "fx_dead_id": "d",
        "mine": "kept",
        "eta": "2026-11-26",
        "compression": "gzip",
        "redelivered": True,
        "x-delivery-count": 3,
        "x-death": [{}],
        "x-first-death-queue": "q",
        "x-last-death-reason": "expired",
    }
    deferral = deferral_of(
        message(received, correlation_id="one", priority=3, expiration="5", user_id="guest"), "work", 5.0, NOW
    )
    assert deferral.headers == {
        "id": "one",
        "task": "t",
        "retries": 2,
        "expires": "2030-01-01",
        "fx_message_id": "m",
        "fx_dead_id": "d",
        "mine": "kept",
        "fx_deferrals": 1,
        "fx_deferred_for": 5.0,
        "fx_deferred_since": "2026-11-26T12:00:00+00:00",
    }
    assert deferral.properties == {"correlation_id": "one", "priority": 3}
    assert (deferral.queue, deferral.delay, deferral.content_type) == ("work", 5.0, "application/json")
    assert "eta" in received, "the message at hand is left alone"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"\x80\xff", b"\x80\xff"),
        ('[1, "ä"]', '[1, "ä"]'.encode()),
        ("\ud800", b"\xed\xa0\x80"),
        (memoryview(b"[]"), b"[]"),
        (None, b""),
    ],
)
def test_its_bytes_are_those_that_were_received(body: Any, sent: bytes) -> None:
    """py-amqp hands texts over, others bytes."""
    assert deferral_of(message({}, body), "work", 5.0, NOW).body == sent


def test_waits_add_up() -> None:
    """In headers that travel with it; the first moment is kept for people."""
    headers: Any = {}
    for delay in (2.5, 3.25):
        headers = deferral_of(message(headers), "work", delay, NOW).headers
    assert headers["fx_deferrals"] == 2
    assert headers["fx_deferred_for"] == 5.75
    assert (
        deferral_of(message(headers), "work", 1.0, NOW.replace(year=2027))
        .headers["fx_deferred_since"]
        .startswith("2026")
    )


def test_headers_of_no_mapping_are_replaced() -> None:
    """Anybody may send anything."""
    assert deferral_of(message("text"), "work", 5.0, NOW).headers["fx_deferrals"] == 1


def test_a_crowd_is_who_came_within_the_last_second() -> None:
    """The one that joins is among them."""
    crowd = Crowd()
    assert [crowd.joined(at) for at in (0.0, 0.4, 0.9, 1.0, 1.5, 9.0)] == [1, 2, 3, 3, 3, 1]

"""What a replay sends: afresh, yet the same message."""

from __future__ import annotations

from typing import Any

import pytest

from fluxora_tasks.deadletter.envelope import Kind, Payload
from fluxora_tasks.deadletter.identity import DEAD_ID, MESSAGE_ID, PUBLISH_ID, REPLAY_NO, REPLAY_OP
from fluxora_tasks.deadletter.rewrite import needs_fresh_task_id, rewrite


def rewritten(headers: dict[str, Any] | None = None, properties: dict[str, Any] | None = None, **more: Any) -> Payload:
    """The replay of a message with these headers and properties."""
    received = Payload(b"\xff\x00body", "application/json", "utf-8", headers or {}, properties or {})
    return rewrite(received, dead_id="d", message_id="m", replay_no=2, publish_id="p", **more)


def test_the_body_and_its_type_are_as_received() -> None:
    """Not a byte of the body changes, nor what it says it is."""
    replay = rewritten()

    assert (replay.body, replay.content_type, replay.content_encoding) == (
        b"\xff\x00body",
        "application/json",
        "utf-8",
    )


@pytest.mark.parametrize(
    "name",
    [
        *("expires", "eta", "redelivered", "compression", "fx_first_attempt_at"),
        *("x-death", "x-first-death-queue", "x-first-death-reason", "x-last-death-queue"),
        *("x-delivery-count", "x-acquired-count"),
        *("fx_deferrals", "fx_deferred_for", "fx_deferred_since"),
    ],
)
def test_traces_of_earlier_deliveries_are_dropped(name: str) -> None:
    """What would end or delay the replay, or belongs to another delivery, is not sent."""
    assert name not in rewritten({name: "anything"}).headers


def test_what_belongs_to_the_message_is_kept() -> None:
    """Ids, group, stamps and the user's own headers travel on."""
    kept = {
        "id": "t1",
        "task": "demand.ingest",
        "root_id": "t0",
        "parent_id": "t0",
        "group": "g",
        "timelimit": [None, 5],
        "stamps": {"a": ["b"]},
        "x-tenant": "acme",
        "fx_order_key": "k",
    }

    assert kept.items() <= rewritten(kept).headers.items()


def test_it_starts_afresh_under_our_ids() -> None:
    """Retries are zero and the ids of this replay stand over those of an earlier one."""
    headers = rewritten({"retries": 7, PUBLISH_ID: "old", REPLAY_NO: 1, REPLAY_OP: "old"}).headers

    assert headers == {"retries": 0, MESSAGE_ID: "m", DEAD_ID: "d", REPLAY_NO: 2, PUBLISH_ID: "p"}


def test_an_operation_is_named() -> None:
    """A replay that is part of a bulk operation says so."""
    assert rewritten(operation_id="op").headers[REPLAY_OP] == "op"


def test_properties_that_a_caller_waits_on_are_kept() -> None:
    """Reply queue, correlation and priority stay; what would expire or be refused goes."""
    replay = rewritten(
        properties={
            "correlation_id": "c",
            "reply_to": "r",
            "priority": 7,
            "delivery_mode": 1,
            "expiration": "1000",
            "user_id": "guest",
            "timestamp": "2000-06-05",
            "delivery_tag": "x",
        }
    )

    assert replay.properties == {"correlation_id": "c", "reply_to": "r", "priority": 7, "delivery_mode": 2}


@pytest.mark.parametrize("priority", [-1, 256, True, "5", None])
def test_a_priority_that_no_broker_takes_is_dropped(priority: object) -> None:
    """A wrong priority does not stop the replay."""
    assert "priority" not in rewritten(properties={"priority": priority}).properties


def test_a_fresh_task_id_goes_everywhere() -> None:
    """Where the old id cannot be sent again, header and correlation change together."""
    replay = rewritten({"id": "old", "root_id": "old"}, {"correlation_id": "old"}, task_id="new")

    assert (replay.headers["id"], replay.properties["correlation_id"]) == ("new", "new")
    assert replay.headers["root_id"] == "old"


def test_only_burnt_ids_are_replaced() -> None:
    """Workers discard ids of expired and revoked messages; every other id is kept."""
    assert {kind for kind in Kind if needs_fresh_task_id(kind)} == {Kind.EXPIRED, Kind.REVOKED}


def test_the_received_message_is_not_touched() -> None:
    """Rewriting makes a new message."""
    headers = {"eta": "x", "retries": 3}
    rewritten(headers)

    assert headers == {"eta": "x", "retries": 3}

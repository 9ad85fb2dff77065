"""What a replay sends: afresh, yet the same message."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.deadletter.envelope import Kind, Payload
from fluxora_tasks.deadletter.identity import (
    DEAD_ID,
    DEFERRAL_HEADERS,
    FIRST_ATTEMPT_AT,
    MESSAGE_ID,
    ORIGINAL_ID,
    PUBLISH_ID,
    REPLAY_NO,
    REPLAY_OP,
)
from fluxora_tasks.deadletter.rewrite import needs_fresh_task_id, rewrite

#: Headers of a message for a task.
TASK = {"id": "t1", "task": "demand.ingest"}

OURS = {MESSAGE_ID: "m", DEAD_ID: "d", REPLAY_NO: 2, PUBLISH_ID: "p"}


def rewritten(headers: dict[str, Any] | None = None, properties: dict[str, Any] | None = None, **more: Any) -> Payload:
    """The replay of a message with these headers and properties; by default one for a task."""
    headers = TASK if headers is None else headers
    received = Payload(b"\xff\x00body", "application/json", "utf-8", headers, properties or {})
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
    assert name not in rewritten(TASK | {name: "anything"}).headers


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
    headers = rewritten(TASK | {"retries": 7, PUBLISH_ID: "old", REPLAY_NO: 1, REPLAY_OP: "old"}).headers

    assert headers == TASK | {"retries": 0} | OURS


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
    replay = rewritten(TASK | {"root_id": "t1"}, {"correlation_id": "t1"}, task_id="new")

    assert (replay.headers["id"], replay.properties["correlation_id"]) == ("new", "new")
    assert (replay.headers["root_id"], replay.headers[ORIGINAL_ID]) == ("t1", "t1")


def test_the_first_task_id_is_remembered_through_all_replays() -> None:
    """Whoever waits for the result waits on that one."""
    replay = rewritten(task_id="second")
    again = rewritten(dict(replay.headers), task_id="second")
    fresh = rewritten(dict(again.headers), task_id="third")
    kept = rewritten(dict(fresh.headers))

    assert [sent.headers["id"] for sent in (replay, again, fresh, kept)] == ["second", "second", "third", "third"]
    assert {sent.headers[ORIGINAL_ID] for sent in (replay, again, fresh, kept)} == {"t1"}
    assert ORIGINAL_ID not in rewritten().headers


def test_only_burnt_ids_are_replaced() -> None:
    """Workers discard ids of expired and revoked messages; every other id is kept."""
    assert {kind for kind in Kind if needs_fresh_task_id(kind)} == {Kind.EXPIRED, Kind.REVOKED}


def test_the_received_message_is_not_touched() -> None:
    """Rewriting makes a new message."""
    headers = {"eta": "x", "retries": 3}
    rewritten(headers)

    assert headers == {"eta": "x", "retries": 3}


def test_a_message_of_somebody_else_keeps_its_headers() -> None:
    """What its headers mean is not known; only ours, and the traces of brokers, are exchanged."""
    theirs = {"expires": "never", "eta": 5, "retries": "many", "id": 7, "x-tenant": "acme"}
    replay = rewritten(theirs | {"x-death": [{"count": 1}]}, {"correlation_id": "c"}, task_id="new")

    assert replay.headers == theirs | OURS
    assert replay.properties == {"correlation_id": "c", "delivery_mode": 2}


_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
_NAMES = st.text(max_size=8) | st.sampled_from(
    ["id", "task", "eta", "expires", "retries", "stamps", "x-tenant", ORIGINAL_ID, *DEFERRAL_HEADERS]
)
_OF_BROKERS = st.fixed_dictionaries(
    {},
    optional={
        "x-death": st.just([{"count": 1, "queue": "q"}]),
        "x-first-death-queue": st.just("q"),
        "x-first-death-reason": st.just("expired"),
        "x-last-death-exchange": st.just("e"),
        "x-delivery-count": st.integers(0, 9),
        "x-acquired-count": st.integers(0, 9),
        "redelivered": st.just(True),
        "compression": st.just("application/x-gzip"),
        FIRST_ATTEMPT_AT: st.just("2026-11-26T12:00:00+00:00"),
        **{name: st.integers(1, 9) for name in DEFERRAL_HEADERS},
    },
)
_PROPERTIES = st.dictionaries(
    st.sampled_from(["correlation_id", "reply_to", "priority", "expiration", "user_id", "timestamp", "x"]), _VALUES
)


@given(
    body=st.binary(max_size=20),
    headers=st.dictionaries(_NAMES, _VALUES, max_size=6),
    properties=_PROPERTIES,
    received=st.lists(st.tuples(_OF_BROKERS, _PROPERTIES), min_size=10, max_size=10),
    task_id=st.none() | st.just("fresh"),
)
def test_headers_do_not_grow(
    body: bytes, headers: dict[str, Any], properties: dict[str, Any], received: list[Any], task_id: str | None
) -> None:
    """Ten replays, each of what the last one was received as: the first and the tenth differ in nothing but numbers."""
    payload = Payload(body, "text/plain", None, headers, properties)
    sent: list[Payload] = []
    for number, (more, strange) in enumerate(received, 1):
        ids = {"dead_id": "d", "message_id": "m", "replay_no": number, "publish_id": f"p{number}", "task_id": task_id}
        sent.append(rewrite(payload, **ids))
        payload = Payload(
            sent[-1].body, "text/plain", None, {**sent[-1].headers, **more}, {**strange, **sent[-1].properties}
        )
    first, last = sent[0], sent[-1]
    assert last.body == body
    assert dict(last.headers) == {**first.headers, REPLAY_NO: 10, PUBLISH_ID: "p10"}
    assert first.properties.items() <= last.properties.items()

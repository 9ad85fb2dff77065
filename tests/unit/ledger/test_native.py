"""Messages the broker itself dead-lettered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fluxora_tasks.deadletter.envelope import DeadLetter, Kind, Payload
from fluxora_tasks.deadletter.identity import dead_id_for
from fluxora_tasks.ledger.native import broker_dead_letter

NOW = datetime(2000, 6, 5, 12, tzinfo=UTC)
DIED = datetime(2000, 6, 5, 11)  # noqa: DTZ001 - as the AMQP library hands it out


def death(reason: str = "delivery_limit", queue: str = "demand", **more: Any) -> dict[str, Any]:
    """One entry of ``x-death``."""
    return {
        "reason": reason,
        "queue": queue,
        "count": 1,
        "time": DIED,
        "exchange": "tasks",
        "routing-keys": ["demand.key"],
        **more,
    }


def read(deaths: Any, headers: dict[str, Any] | None = None, **payload: Any) -> DeadLetter | None:
    """What a message with these entries becomes."""
    return broker_dead_letter(Payload(b"body", headers={"x-death": deaths, **(headers or {})}, **payload), now=NOW)


def known(deaths: Any, headers: dict[str, Any] | None = None, **payload: Any) -> DeadLetter:
    """As ``read``, for messages that become one."""
    letter = read(deaths, headers, **payload)
    assert letter is not None
    return letter


def test_it_tells_where_and_why() -> None:
    """Queue, exchange, key, reason and time come from the newest entry."""
    letter = known([death()], {"id": "t1", "task": "demand.ingest"})

    assert (letter.kind, letter.queue, letter.exchange, letter.routing_key) == (
        Kind.DELIVERY_LIMIT,
        "demand",
        "tasks",
        "demand.key",
    )
    assert letter.message.startswith("delivery_limit: ")
    assert letter.failed_at == datetime(2000, 6, 5, 11, tzinfo=UTC)
    assert letter.dead_id == dead_id_for("t1", "demand.ingest", "demand")
    assert letter.payload.body == b"body"


@pytest.mark.parametrize(
    ("reason", "headers", "kind"),
    [
        ("delivery_limit", {}, Kind.DELIVERY_LIMIT),
        ("expired", {"expires": "2000-06-05T10:59:59+00:00"}, Kind.EXPIRED),
        # a time to live of the queue, not of the task
        ("expired", {"expires": None}, Kind.BROKER_DLQ),
        ("expired", {}, Kind.BROKER_DLQ),
        ("maxlen", {"expires": "2000-06-05T10:59:59+00:00"}, Kind.BROKER_DLQ),
        ("rejected", {}, Kind.BROKER_DLQ),
        ("a reason of a later release", {}, Kind.BROKER_DLQ),
    ],
)
def test_the_kind_follows_from_the_reason(reason: str, headers: dict[str, Any], kind: Kind) -> None:
    """Each reason of the broker has its kind."""
    assert known([death(reason)], headers).kind is kind


@pytest.mark.parametrize("delay", ["celery_delayed_3", "mine_celery_delayed_3", "fluxora.delay.64ms"])
def test_a_delay_queue_is_not_where_it_died(delay: str) -> None:
    """Messages expire in delay queues on their way; those are passed over, wherever they stand."""
    entries = [death("expired", delay), death("expired", "demand"), death("expired", "fluxora.delay.to.demand")]

    assert known(entries).queue == "demand"


def test_an_expired_message_died_where_it_expired() -> None:
    """With nothing but expiries the newest one tells."""
    assert known([death("expired", "first"), death("expired", "second")]).queue == "first"


def test_the_same_death_is_the_same_failure() -> None:
    """A second delivery of the same dead message changes nothing."""
    first, second = (known([death()], {"id": "t1"}) for _ in range(2))

    assert (first.dead_id, first.failure_id) == (second.dead_id, second.failure_id)


def test_another_death_is_another_failure_of_the_same_record() -> None:
    """A message that dies again belongs to its record."""
    first = known([death()], {"id": "t1"})
    second = known([death(count=2)], {"id": "t1"})

    assert first.dead_id == second.dead_id
    assert first.failure_id != second.failure_id


def test_a_replay_keeps_its_record() -> None:
    """Our own headers win over anything derived."""
    letter = known([death()], {"id": "t1", "fx_dead_id": "d", "fx_message_id": "m", "fx_replay_no": 2})

    assert (letter.dead_id, letter.message_id, letter.replay_no) == ("d", "m", 2)


def test_messages_without_any_id_are_never_merged() -> None:
    """Two nameless messages are two records, even if they are equal."""
    assert known([death()]).dead_id != known([death()]).dead_id


def test_a_message_property_is_an_id() -> None:
    """A foreign message is known by its property."""
    assert known([death()], properties={"message_id": "foreign"}).message_id == "foreign"


@pytest.mark.parametrize(
    "deaths",
    [None, "text", [], {}, [1], [{}], [{"queue": ""}], [{"reason": "rejected"}]],
)
def test_without_a_usable_header_it_is_none_of_these(deaths: object) -> None:
    """Whoever writes nonsense into ``x-death`` gets no record from it."""
    assert read(deaths) is None


@pytest.mark.parametrize("headers", [{"id": 5, "task": None}, {"fx_replay_no": "x"}, {"fx_dead_id": 7}])
def test_hostile_headers_do_no_harm(headers: dict[str, Any]) -> None:
    """Headers of the wrong type are passed over."""
    assert known([death(**{"routing-keys": "text", "time": "text", "exchange": 3})], headers).queue == "demand"

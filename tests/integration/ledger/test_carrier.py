"""Many messages at once: each has an outcome of its own, whatever becomes of the others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from amqp.exceptions import MessageNacked
from kombu import Connection, Queue

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.deadletter.identity import PUBLISH_ID
from fluxora_tasks.deadletter.topology import is_amqp
from fluxora_tasks.ledger.carrier import Carrier, Parcel, PipelineCarrier, SingleCarrier, carrier_on
from fluxora_tasks.ledger.replay import Replayer
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.brokers import QUEUE, count, declare, take
from tests.integration.ledger.conftest import HeldClock
from tests.integration.ledger.reading import record
from tests.letters import BODY, letter
from tests.servers import PrivateRabbit, PrivateRedis

pytestmark = pytest.mark.integration

ADA = Actor("ada", "cause fixed")


def parcel(place: int, queue: str = QUEUE, **headers: Any) -> Parcel:
    """A small message."""
    payload = Payload(b"%d" % place, "text/plain", "utf-8", {PUBLISH_ID: f"p{place}", **headers})
    return Parcel(payload, queue, f"p{place}")


@contextmanager
def carrying(url: str, **options: Any) -> Iterator[tuple[Carrier, Any]]:
    """A carrier, with its connection."""
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        yield carrier_on(channel, amqp=is_amqp(connection), broken=connection.connection_errors), connection


def errors(carrier: Carrier, parcels: list[Parcel]) -> list[str]:
    """What became of each: nothing, or the name of its error; with a question mark where it is open."""
    return [
        f"{type(one.error).__name__ if one.error else ''}{'?' if one.is_open else ''}" for one in carrier.carry(parcels)
    ]


def bodies(url: str) -> list[bytes]:
    """Of what waits in the queue."""
    found = [message.body for message in take(url)]
    return [body.encode() if isinstance(body, str) else bytes(body) for body in found]


def test_all_arrive(broker_url: str) -> None:
    """In their order."""
    declare(broker_url)
    with carrying(broker_url) as (carrier, _):
        for start in (0, 100):
            assert errors(carrier, [parcel(start + number) for number in range(100)]) == [""] * 100
        assert not carrier.is_spent

    bodies = [
        bytes(message.body, "ascii") if isinstance(message.body, str) else bytes(message.body)
        for message in take(broker_url)
    ]
    assert bodies == [b"%d" % number for number in range(200)]


def test_a_queue_that_does_not_exist_concerns_its_message(vhost_url: str) -> None:
    """RabbitMQ returns it; those beside it are confirmed, and the channel goes on."""
    declare(vhost_url)
    with carrying(vhost_url) as (carrier, _):
        carried = carrier.carry([parcel(1), parcel(2, "nowhere"), parcel(3), parcel(4, "nowhere")])
        assert [getattr(one.error, "reply_code", None) for one in carried] == [None, 312, None, 312]
        assert not any(one.is_open for one in carried)
        assert errors(carrier, [parcel(5)]) == [""]

    assert count(vhost_url, QUEUE) == 3


def test_a_queue_that_is_full_refuses_what_is_too_much(vhost_url: str) -> None:
    """RabbitMQ says no to each message beyond the length of the queue."""
    with Connection(vhost_url) as connection:
        limits = {"x-max-length": 2, "x-overflow": "reject-publish"}
        Queue(QUEUE, durable=True, queue_arguments=limits)(connection.default_channel).declare()
    declare(vhost_url, "roomy")

    with carrying(vhost_url) as (carrier, _):
        assert errors(carrier, [parcel(1), parcel(2)]) == ["", ""]
        found = errors(carrier, [parcel(3), parcel(4, "roomy"), parcel(5)])
        assert found == [MessageNacked.__name__, "", MessageNacked.__name__]
        assert errors(carrier, [parcel(6, "roomy")]) == [""]

    assert (count(vhost_url, QUEUE), count(vhost_url, "roomy")) == (2, 2)


def test_what_cannot_be_written_ends_the_channel(vhost_url: str) -> None:
    """Those before it are confirmed, those after it were not touched."""
    declare(vhost_url)
    with carrying(vhost_url) as (carrier, _):
        found = errors(carrier, [parcel(1), parcel(2, number=2**80), parcel(3)])
        assert (found[0], len(found), found[1].endswith("?")) == ("", 2, False)
        assert carrier.is_spent


def test_a_connection_that_breaks_leaves_it_open(vhost_url: str) -> None:
    """Whatever was sent and not confirmed may have arrived; nothing is tried on it any more."""
    declare(vhost_url)
    with carrying(vhost_url) as (carrier, connection):
        assert errors(carrier, [parcel(1)]) == [""]
        channel = carrier._channel  # type: ignore[attr-defined]
        channel.basic_publish = _hanging_up(connection.connection.transport.sock, channel.basic_publish)
        carried = carrier.carry([parcel(2), parcel(3), parcel(4)])

        assert carrier.is_spent
        assert all(isinstance(one.error, connection.connection_errors) for one in carried)
        assert carried[0].is_open


def _hanging_up(sock: socket.socket, publish: Callable[..., Any]) -> Callable[..., Any]:
    """After the first message nothing comes back."""

    def publish_and_hang_up(*args: Any, **kwargs: Any) -> None:
        publish(*args, **kwargs)
        sock.shutdown(socket.SHUT_RDWR)

    return publish_and_hang_up


def test_the_broker_closes_the_channel(vhost_url: str) -> None:
    """RabbitMQ has something against one of several; of one alone it is plain which."""
    declare(vhost_url)
    odd = Parcel(Payload(b"x", None, None, {PUBLISH_ID: "p2"}, {"expiration": "never"}), QUEUE, "p2")
    with carrying(vhost_url) as (carrier, _):
        found = errors(carrier, [odd, parcel(3)])
        # it may say so before the second is sent
        assert found in (["PreconditionFailed?", "PreconditionFailed?"], ["PreconditionFailed"])
        assert carrier.is_spent
    with carrying(vhost_url) as (carrier, _):
        assert errors(carrier, [odd]) == ["PreconditionFailed"]

    assert count(vhost_url, QUEUE) == 0


def test_redis_answers_for_each(store_url: str) -> None:
    """A key of another type refuses its message alone."""
    with carrying(store_url) as (carrier, connection):
        assert isinstance(carrier, PipelineCarrier)
        connection.default_channel.client.set("taken", "by somebody")
        assert errors(carrier, [parcel(1), parcel(2, "taken"), parcel(3)]) == ["", "ResponseError", ""]
        assert not carrier.is_spent

    assert count(store_url, QUEUE) == 2


def test_redis_that_hangs_up_leaves_it_open() -> None:
    """The pipeline may have been read."""
    private = PrivateRedis()
    try:
        with carrying(private.server.broker_url()) as (carrier, _):
            assert errors(carrier, [parcel(1)]) == [""]
            private.stop()
            assert errors(carrier, [parcel(2), parcel(3)]) == ["ConnectionError?", "ConnectionError?"]
            assert carrier.is_spent
    finally:
        private.stop()


def test_a_client_that_sends_again_by_itself_gets_one_at_a_time(store_url: str) -> None:
    """It would send a whole pipeline twice, and the workers would run both copies."""
    with carrying(store_url, retry_on_timeout=True) as (carrier, _):
        assert isinstance(carrier, SingleCarrier)
        assert errors(carrier, [parcel(1)]) == [""]


def test_the_sweep_finds_the_one_that_is_refused(
    desk: Ledger, clock: HeldClock, rabbit_node: PrivateRabbit | None, vhost_url: str
) -> None:
    """A message too large closes the channel: which of several it was is open until each is sent by itself."""
    if rabbit_node is None:
        pytest.skip("the limits of somebody else's RabbitMQ are not changed")
    declare(vhost_url)
    notes = [letter("m1"), letter("big", payload=Payload(b"x" * 5000, "text/plain", "utf-8")), letter("m2")]
    desk.ingest(notes)
    claims = [verdict.claim for verdict in desk.claim([note.dead_id for note in notes], ADA)]

    rabbit_node.control("eval", "application:set_env(rabbit, max_message_size, 4000).")
    try:
        with Replayer(lambda: Connection(vhost_url), desk) as replayer:
            failures = replayer.send([claim for claim in claims if claim is not None])
            clock.advance(31)
            replayer.sweep()
    finally:
        rabbit_node.control("eval", "application:set_env(rabbit, max_message_size, 134217728).")

    assert notes[1].dead_id in failures
    assert {failure.reason for failure in failures.values()} <= {"not_confirmed", "not_accepted"}
    assert [record(desk._engine, note.dead_id)["status"] for note in notes] == ["RETRYING", "PENDING", "RETRYING"]
    bodies = [
        bytes(message.body, "utf-8") if isinstance(message.body, str) else message.body for message in take(vhost_url)
    ]
    assert {len(body) for body in bodies} == {len(BODY)}

"""Dead letters on their way to RabbitMQ: many sent, then all confirms waited for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from amqp.exceptions import ChannelError, MessageNacked
from kombu import Connection

from fluxora_tasks.deadletter.envelope import Confirmation
from fluxora_tasks.deadletter.publisher import NotePublisher

pytestmark = pytest.mark.integration


@pytest.fixture
def publisher(vhost_url: str) -> Iterator[NotePublisher]:
    publisher = NotePublisher(
        lambda: Connection(vhost_url, transport_options={"confirm_publish": True}), "dead", "dead"
    )
    yield publisher
    publisher.close()


def notes(number: int) -> list[Confirmation]:
    return [Confirmation("d", 1, str(each), datetime(2026, 1, 1, tzinfo=UTC)) for each in range(number)]


def test_every_note_is_in_the_queue_when_publish_returns(vhost_url: str, publisher: NotePublisher) -> None:
    """Twice, on the same channel."""
    for _ in range(2):
        publisher.publish(notes(100))
    with Connection(vhost_url) as connection:
        declared = connection.default_channel.queue_declare("dead", passive=True)
        assert declared.message_count == 200


def test_a_note_that_cannot_be_routed_is_an_error(vhost_url: str, publisher: NotePublisher) -> None:
    """The queue was deleted; the next publish declares it again."""
    publisher.publish(notes(1))
    with Connection(vhost_url) as connection:
        connection.default_channel.queue_delete("dead")
    with pytest.raises(ChannelError):
        publisher.publish(notes(3))
    publisher.publish(notes(3))


def test_a_note_that_is_refused_is_an_error(vhost_url: str, publisher: NotePublisher) -> None:
    """A queue that is full and says so."""
    with Connection(vhost_url) as connection:
        channel = connection.default_channel
        channel.exchange_declare("dead", "direct", durable=True, auto_delete=False)
        channel.queue_declare("full", arguments={"x-max-length": 2, "x-overflow": "reject-publish"}, auto_delete=False)
        channel.queue_bind("full", "dead", "dead")
        with pytest.raises(MessageNacked):
            publisher.publish(notes(5))

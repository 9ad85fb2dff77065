"""Waiting: kept by the broker, whoever sent the message, and over when it is over."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
import redis
from kombu import Connection, Producer, Queue

from tests.integration.transport.mailbox import consuming, send
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

DELAYED = "fluxora.delayed"


def test_a_message_waits_with_the_broker(durable: Connection, server: redis.Redis) -> None:
    """In nobody's hands, and not in its queue."""
    send(durable, [1], delay=1.7)
    started = time.time()
    assert (server.zcard(DELAYED), server.llen("work")) == (1, 0)
    with consuming(durable) as inbox:
        assert inbox.wait_for(1) == [1]
        assert time.time() - started > 1.6
        assert server.zcard(DELAYED) == 0
        inbox.acknowledge_all()


def test_a_short_wait_is_left_to_the_worker(durable: Connection, server: redis.Redis) -> None:
    """It is over before it would be noticed."""
    send(durable, [1], delay=0.5)
    assert (server.zcard(DELAYED), server.llen("work")) == (0, 1)


def test_messages_of_plain_producers_wait_with_the_broker_too(
    durable: Connection, plain: Connection, server: redis.Redis
) -> None:
    """They are put off by the consumer that gets them."""
    send(plain, [1], delay=60)
    with consuming(durable) as inbox:
        wait_until(lambda: inbox.drained() and server.zcard(DELAYED))
        assert inbox.messages == []
        assert server.hlen("unacked") == 0


def test_the_priority_of_a_delayed_message_is_kept(durable: Connection, server: redis.Redis) -> None:
    """It goes to the list it would have gone to."""
    send(durable, [1], delay=1.3, priority=6)
    assert server.zcard(DELAYED) == 1
    with consuming(durable) as inbox:
        inbox.wait_for(1)
        assert inbox.messages[0].properties["priority"] == 6


def test_queues_nobody_of_ours_consumes_get_theirs(durable: Connection, server: redis.Redis) -> None:
    """Any of our consumers moves what is due."""
    send(durable, range(3), "elsewhere", delay=1.3)
    assert server.zcard(DELAYED) == 3
    with consuming(durable) as inbox:
        wait_until(lambda: inbox.drained() and server.llen("elsewhere") == 3)


def test_a_burst_that_is_due_at_once_is_moved_in_parts(durable: Connection, server: redis.Redis) -> None:
    """More than one script may move."""
    send(durable, range(500), delay=3)
    assert server.zcard(DELAYED) == 500
    with consuming(durable, prefetch=1000) as inbox:
        assert sorted(inbox.wait_for(500)) == list(range(500))
        inbox.acknowledge_all()


def test_single_gets_see_what_is_due(durable: Connection, server: redis.Redis) -> None:
    """A program that only polls needs no consumer beside it."""
    send(durable, [1], delay=1.3)
    queue = Queue("work", no_declare=True)(durable.default_channel)
    assert queue.get() is None
    assert wait_until(queue.get, what="the message").payload == {"number": 1}


@pytest.mark.parametrize("prefix", ["", "my:"])
def test_batches_are_delayed(durable: Connection, server: redis.Redis, prefix: str) -> None:
    """kombu's pipelined publishing, with a prefix of all keys or without."""
    prefixed = durable.clone(transport_options={"global_keyprefix": prefix})
    soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    with prefixed, prefixed.channel() as channel:
        producer = Producer(channel)
        with producer.batch():
            for number in range(4):
                producer.publish({}, routing_key="work", headers={"eta": soon} if number % 2 else {})
    assert (server.zcard(prefix + DELAYED), server.llen(prefix + "work")) == (2, 2)


def test_a_purge_takes_what_waits_for_the_queue(durable: Connection, server: redis.Redis) -> None:
    """And nothing of other queues."""
    send(durable, range(2))
    send(durable, range(3), delay=60)
    send(durable, range(4), "other", delay=60)
    with durable.channel() as channel:
        assert channel.queue_purge("work") == 5
        assert len(list(channel.delayed_messages())) == 4
    assert (server.zcard(DELAYED), server.llen("work")) == (4, 0)

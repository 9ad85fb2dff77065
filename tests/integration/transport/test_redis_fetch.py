"""Taking messages: filed as they leave their list, in the right order, whatever they contain."""

from __future__ import annotations

import json
import time
from threading import Timer

import pytest
import redis
from kombu import Connection, Consumer, Queue

from fluxora_tasks.transport import fetch
from fluxora_tasks.transport.filing import GARBAGE
from fluxora_tasks.transport.watch import Watch
from tests.integration.transport.mailbox import consuming, send
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def test_messages_are_filed_until_they_are_acknowledged(durable: Connection, server: redis.Redis) -> None:
    """In kombu's own hash, in kombu's own form."""
    send(durable, range(5))
    with consuming(durable, prefetch=5) as inbox:
        assert inbox.wait_for(5) == [0, 1, 2, 3, 4]
        filed = [json.loads(entry) for entry in server.hvals("unacked")]
        assert len(filed) == 5
        assert all(entry[1:] == ["", "work"] for entry in filed)
        inbox.acknowledge_all()
        wait_until(lambda: not server.hlen("unacked"), what="the acknowledgements")
    assert server.keys("unacked*") == []


def test_no_more_than_the_prefetch_window_is_taken(durable: Connection, server: redis.Redis) -> None:
    """The rest is for other consumers."""
    send(durable, range(10))
    with consuming(durable, prefetch=4) as inbox:
        inbox.wait_for(4)
        assert server.llen("work") == 6
        inbox.acknowledge_all()
        assert inbox.wait_for(4) == [4, 5, 6, 7]


def test_a_consumer_that_works_in_its_callback_takes_one_at_a_time(
    durable: Connection, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The solo pool: what it cannot begin is left to others."""
    monkeypatch.setattr(fetch, "_SLOW", -1.0)
    send(durable, [0])
    with consuming(durable, prefetch=8) as inbox:
        inbox.wait_for(1)
        send(durable, range(1, 6))
        durable.drain_events(timeout=5)
        assert inbox.numbers == [0, 1]
        assert server.llen("work") == 4


def test_what_is_not_acknowledged_goes_back_in_its_order(durable: Connection, server: redis.Redis) -> None:
    """A consumer that ends leaves nothing in its hands, and its messages are the next to be taken."""
    send(durable, range(10))
    with consuming(durable, prefetch=6) as inbox:
        inbox.wait_for(3)
        inbox.messages[1].ack()
    assert server.hlen("unacked") == 0
    with consuming(durable) as again:
        assert again.wait_for(9) == [0, 2, 3, 4, 5, 6, 7, 8, 9]
        assert [bool(m.delivery_info.get("redelivered")) for m in again.messages] == [True] * 5 + [False] * 4


def test_a_requeued_message_is_the_last(durable: Connection) -> None:
    """As with kombu: a message that cannot be dealt with now lets others pass."""
    send(durable, range(3))
    with consuming(durable, prefetch=1) as inbox:
        inbox.wait_for(1)
        inbox.messages.pop().requeue()
        inbox.wait_for(1)
        inbox.acknowledge_all()
        inbox.wait_for(1)
        inbox.acknowledge_all()
        assert inbox.wait_for(1) == [0]
        inbox.acknowledge_all()


def test_urgent_messages_come_first(durable: Connection) -> None:
    """kombu's priorities: 0 before 9."""
    for priority in (9, 0, 6, 3):
        send(durable, [priority], priority=priority)
    with consuming(durable) as inbox:
        assert inbox.wait_for(4) == [0, 3, 6, 9]


def test_queues_take_turns(durable: Connection) -> None:
    """A full queue does not keep the others from being served."""
    send(durable, range(6), "first")
    send(durable, range(10, 13), "second")
    with consuming(durable, "first", "second", prefetch=6) as inbox:
        assert sorted(inbox.wait_for(6)) == [0, 1, 2, 10, 11, 12]


def test_earlier_queues_come_first_where_that_is_asked_for(durable: Connection) -> None:
    """kombu's queue_order_strategy."""
    ordered = durable.clone(transport_options={"queue_order_strategy": "priority"})
    send(durable, range(4), "second")
    send(durable, range(10, 14), "first")
    with ordered, consuming(ordered, "first", "second", prefetch=6) as inbox:
        assert inbox.wait_for(6) == [10, 11, 12, 13, 0, 1]


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe\x00", b"[1, 2]", b'{"body": "abc", "properties": {"body_encoding": "base64"}}']
)
def test_garbage_arrives_as_a_message(durable: Connection, server: redis.Redis, raw: bytes) -> None:
    """With its bytes as the body; it goes back as it was, and is acknowledged like any other."""
    server.lpush("work", raw)
    with consuming(durable) as inbox:
        wait_until(lambda: inbox.drained() and inbox.messages)
    assert server.lrange("work", 0, -1) == [raw]
    with consuming(durable) as inbox:
        wait_until(lambda: inbox.drained() and inbox.messages)
        assert inbox.messages[0].headers == {GARBAGE: True}
        assert inbox.messages[0].body == raw
        inbox.acknowledge_all()
    assert (server.llen("work"), server.hlen("unacked")) == (0, 0)


def test_a_single_message_is_filed_too(durable: Connection, server: redis.Redis) -> None:
    """Queue.get() has no window in which a kill loses the message."""
    send(durable, [1])
    queue = Queue("work", no_declare=True)(durable.default_channel)
    message = queue.get()
    assert message.payload == {"number": 1}
    assert server.hlen("unacked") == 1
    message.ack()
    assert server.hlen("unacked") == 0
    assert queue.get() is None


def test_a_consumer_without_acknowledgement_files_nothing(durable: Connection, server: redis.Redis) -> None:
    """It asked for that, and is nobody who has to be looked after."""
    send(durable, range(2))
    with consuming(durable, no_ack=True) as inbox:
        inbox.wait_for(2)
        assert server.keys("unacked*") == []


def test_a_prefix_of_all_keys_is_kept(durable: Connection, server: redis.Redis) -> None:
    """Also in scripts."""
    with durable.clone(transport_options={"global_keyprefix": "my:"}) as connection:
        send(connection, [1])
        send(connection, [2], delay=60)
        with consuming(connection) as inbox:
            inbox.wait_for(1)
            inbox.acknowledge_all()
    assert [key for key in server.keys("*") if not key.startswith(b"my:")] == []


def test_a_plain_producer_wakes_an_idle_consumer(durable: Connection, plain: Connection) -> None:
    """It only pushes; the server reports that the list is not empty any more."""
    with consuming(durable) as inbox:
        inbox.drained()
        Timer(0.3, send, (plain, [7])).start()
        durable.drain_events(timeout=0.9)  # without the report it would be 1.0
        assert inbox.numbers == [7]


def test_an_emptied_database_is_a_lost_connection(durable: Connection, server: redis.Redis) -> None:
    """FLUSHDB takes queues and bindings along: a worker connects anew, and declares them."""
    with consuming(durable) as inbox:
        inbox.drained()
        server.flushdb()
        with pytest.raises(durable.connection_errors):
            inbox.drained()


def test_another_database_may_be_emptied(durable: Connection, server: redis.Redis, store: StoreServer) -> None:
    """It is reported to every consumer of the server, and changes nothing for those of other databases."""
    with consuming(durable) as inbox, redis.Redis.from_url(store.state_url(3)) as other:
        inbox.drained()
        wait_until(lambda: server.exists("unacked.consumers"))
        other.flushdb()
        inbox.drained()
        send(durable, [7])
        assert inbox.wait_for(1) == [7]


def test_lists_are_polled_where_the_server_reports_nothing(
    durable: Connection, plain: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restricted accounts and proxies."""
    monkeypatch.setattr(Watch, "open", lambda self, fetching: False)
    with consuming(durable) as inbox:
        inbox.drained()
        Timer(0.3, send, (plain, [7])).start()
        durable.drain_events(timeout=0.9)
        assert inbox.numbers == [7]


def test_a_full_server_loses_nothing(durable: Connection, server: redis.Redis) -> None:
    """Filing is refused before anything leaves its list."""
    send(durable, range(3))
    before = server.config_get("maxmemory")["maxmemory"]
    server.config_set("maxmemory", 1)
    try:
        with consuming(durable) as inbox:
            inbox.drained()
            assert inbox.messages == []
            assert server.llen("work") == 3
            server.config_set("maxmemory", before)
            assert inbox.wait_for(3) == [0, 1, 2]
    finally:
        server.config_set("maxmemory", before)


def test_scripts_are_loaded_again(durable: Connection, server: redis.Redis) -> None:
    """A restarted server, or a new master, has none."""
    with consuming(durable) as inbox:
        inbox.drained()
        server.script_flush()
        send(durable, [1])
        assert inbox.wait_for(1) == [1]


def test_a_cut_connection_gives_everything_back(durable: Connection, server: redis.Redis) -> None:
    """The same process fetches its messages again, at once."""
    send(durable, range(3))
    with consuming(durable, prefetch=2) as inbox:
        inbox.wait_for(2)
        for kind in ("normal", "pubsub"):
            server.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        with pytest.raises(durable.connection_errors):
            _drain_for_ever(durable)
    started = time.monotonic()
    with durable.clone() as again, consuming(again) as inbox:
        assert sorted(inbox.wait_for(3)) == [0, 1, 2]
    assert time.monotonic() - started < 5


def _drain_for_ever(connection: Connection) -> None:
    while True:
        try:
            connection.drain_events(timeout=1)
        except TimeoutError:
            continue


def test_a_queue_that_is_added_to_a_resting_consumer_is_reported_on(
    durable: Connection, plain: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply queue of a second ``inspect`` on the same channel: its messages come at once."""
    monkeypatch.setattr(fetch, "_REST", 30.0)
    with consuming(durable, "first") as inbox:
        assert inbox.drained()
        (channel,) = durable.transport.channels
        added = Consumer(channel, [Queue("second", no_declare=True)], on_message=inbox.messages.append)
        added.consume()
        assert inbox.drained()
        sender = Timer(0.05, send, (plain, [7], "second"))
        sender.start()
        durable.drain_events(timeout=5)
        sender.join()
        assert inbox.numbers == [7]
        inbox.acknowledge_all()


def test_a_consumer_without_a_queue_left_asks_for_nothing(durable: Connection, server: redis.Redis) -> None:
    """What it holds is acknowledged all the same, and another queue may follow."""
    send(durable, [1], "first")
    with consuming(durable, "first") as inbox:
        assert inbox.wait_for(1) == [1]
        (channel,) = durable.transport.channels
        channel.basic_cancel(next(iter(channel._consumers)))
        inbox.acknowledge_all()
        assert inbox.drained()
        assert server.hlen("unacked") == 0
        send(durable, [2], "first")
        assert inbox.drained()
        assert inbox.numbers == []
        added = Consumer(channel, [Queue("first", no_declare=True)], on_message=inbox.messages.append)
        added.consume()
        assert inbox.wait_for(1) == [2]
        inbox.acknowledge_all()

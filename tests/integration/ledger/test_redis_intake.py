"""The dead-letter queue on Redis: no message between two places, whoever is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kombu import Connection, Queue

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.deadletter.topology import recorder_transport_options
from fluxora_tasks.ledger.redis_intake import RedisIntake
from tests.integration.ledger.brokers import put, put_all
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

DEAD = "fluxora.dead"


@contextmanager
def intake(url: str, *, prefetch: int = 100, **options: Any) -> Iterator[RedisIntake[bytes]]:
    """An intake that makes bodies of messages; not closed, as if it were killed."""
    transport = recorder_transport_options(options, amqp=False) | options
    with Connection(url, transport_options=transport) as connection:
        yield RedisIntake(
            connection,
            Queue(DEAD, durable=True),
            prefetch=prefetch,
            read=lambda payload: payload.body,
            unreadable=lambda payload, _error: b"unreadable: " + payload.body,
        )


def fill(url: str, *bodies: bytes, **options: Any) -> None:
    """Send bodies to the dead-letter queue."""
    del options
    put_all(url, DEAD, [(body, {"content_type": "x", "content_encoding": "binary"}) for body in bodies])


def keys(url: str) -> dict[str, int]:
    """How many messages lie where."""
    with Connection(url) as connection:
        client = connection.default_channel.client
        return {
            "queued": client.llen(DEAD),
            "unacked": client.hlen("fluxora.recorder.unacked"),
            "index": client.zcard("fluxora.recorder.unacked_index"),
        }


def test_messages_come_in_order_and_are_filed(store_url: str) -> None:
    """What is fetched is filed at the broker until it is settled."""
    fill(store_url, b"a", b"b", b"\xff\x00c")
    with intake(store_url) as found:
        assert found.drain(1)
        assert list(found.waiting) == [b"a", b"b", b"\xff\x00c"]
        assert keys(store_url) == {"queued": 0, "unacked": 3, "index": 3}

        found.acknowledge(2)
        assert list(found.waiting) == [b"\xff\x00c"]
        assert keys(store_url) == {"queued": 0, "unacked": 1, "index": 1}


def test_no_more_is_held_than_was_asked_for(store_url: str) -> None:
    """The prefetch bounds what is fetched, until something is settled."""
    fill(store_url, *(b"%d" % number for number in range(5)))
    with intake(store_url, prefetch=2) as found:
        assert found.drain(1)
        assert not found.drain(0)
        assert len(found.waiting) == 2
        found.acknowledge(1)
        assert found.drain(1)
        assert list(found.waiting) == [b"1", b"2"]


def test_what_is_given_back_comes_first_and_in_order(store_url: str) -> None:
    """Closing returns what is held to where it was."""
    fill(store_url, b"a", b"b", b"c")
    with intake(store_url, prefetch=2) as first:
        assert first.drain(1)
        first.close()
    assert keys(store_url) == {"queued": 3, "unacked": 0, "index": 0}

    with intake(store_url) as second:
        assert second.drain(1)
        assert list(second.waiting) == [b"a", b"b", b"c"]


def test_what_a_killed_recorder_held_comes_back(store_url: str) -> None:
    """Messages of a recorder that died are delivered again after the visibility timeout."""
    fill(store_url, b"a", b"b")
    with intake(store_url) as killed:
        assert killed.drain(1)

    with intake(store_url, visibility_timeout=0) as found:
        wait_until(lambda: found.drain(0.1) and len(found.waiting) == 2, what="both messages")
        assert sorted(found.waiting) == [b"a", b"b"]


def test_what_is_held_is_not_abandoned(store_url: str) -> None:
    """A recorder that waits for the ledger keeps what it holds from the others."""
    fill(store_url, b"a")
    with intake(store_url) as holder, intake(store_url) as other:
        assert holder.drain(1)
        holder.breathe(0.05, threading.Event())
        assert not other.drain(0.1)
        assert keys(store_url)["unacked"] == 1


def test_bytes_that_are_no_message(store_url: str) -> None:
    """What some other program pushed is handed over as it is, and stops nothing."""
    with Connection(store_url) as connection:
        for raw in (b"\xffgarbage", b"[1]", b"{}", b"7", b'{"properties": {"delivery_tag": "x"}, "body": 5}'):
            connection.default_channel.client.lpush(DEAD, raw)
    fill(store_url, b"good")

    with intake(store_url) as found:
        assert found.drain(1)
        *odd, good = found.waiting
        found.acknowledge(len(found.waiting))

    assert good == b"good"
    assert odd[0] == b"unreadable: \xffgarbage"
    assert len(odd) == 5
    assert keys(store_url) == {"queued": 0, "unacked": 0, "index": 0}


def test_every_priority_is_read(store_url: str) -> None:
    """kombu spreads a queue over one list per priority; the most urgent comes first."""
    put(store_url, DEAD, b"later", priority=9)
    put(store_url, DEAD, b"sooner", priority=0)

    with intake(store_url) as found:
        assert found.drain(1)
        assert list(found.waiting) == [b"sooner", b"later"]


def test_a_prefix_of_all_keys_is_kept(store_url: str) -> None:
    """An application that prefixes its keys gets its messages, and settles them."""
    with Connection(store_url, transport_options={"global_keyprefix": "team:"}) as connection:
        channel = connection.default_channel
        channel.basic_publish(channel.prepare_message(b"mine"), exchange="", routing_key=DEAD)
        client = channel.client
        with intake(store_url, global_keyprefix="team:") as found:
            assert found.drain(1)
            assert list(found.waiting) == [b"mine"]
            assert client.hlen("fluxora.recorder.unacked") == 1
            found.acknowledge(1)
        assert client.hlen("fluxora.recorder.unacked") == 0


def test_a_payload_keeps_its_headers(store_url: str) -> None:
    """Type, encoding and headers arrive with the body."""
    put(store_url, DEAD, b"x", content_type="text/plain", content_encoding="utf-8", headers={"a": [1]})
    seen: list[Payload] = []
    with Connection(store_url) as connection:
        found = RedisIntake(connection, Queue(DEAD), prefetch=1, read=seen.append, unreadable=lambda *_: None)
        assert found.drain(1)
        found.acknowledge(1)

    assert (seen[0].content_type, seen[0].content_encoding, seen[0].headers) == ("text/plain", "utf-8", {"a": [1]})

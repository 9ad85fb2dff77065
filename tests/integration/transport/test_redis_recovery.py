"""Dead consumers: found within seconds, told apart from live ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from kombu import Connection

from fluxora_tasks.transport import liveness
from tests.integration.transport.mailbox import consuming, send
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

CONSUMERS = "unacked.consumers"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same proportions, ten times as fast."""
    for name in ("BEAT_EVERY", "SILENCE", "STALLED", "UNKNOWN", "STEADY"):
        monkeypatch.setattr(liveness, name, getattr(liveness, name) / 10)


@contextmanager
def dead_consumer(server: redis.Redis, connection: Connection, *numbers: int) -> Iterator[None]:
    """A consumer with these messages in hand that gives no sign of life and has no connection."""
    send(connection, numbers)
    for place, number in enumerate(numbers):
        raw = server.rpop("work")
        assert raw is not None, number
        server.hset("unacked", f"dead:{place}", b"[" + raw + b',"","work"]')
        server.hset("unacked.held.dead", f"dead:{place}", "work")
    server.zadd(CONSUMERS, {"dead": 1})
    yield


def test_messages_of_a_dead_consumer_are_put_back(durable: Connection, server: redis.Redis) -> None:
    """In their order, before all others, marked; then the consumer is forgotten."""
    with dead_consumer(server, durable, 1, 2, 3):
        send(durable, [4])
        with consuming(durable, "other") as inbox:
            wait_until(lambda: inbox.drained() and server.llen("work") == 4)
        assert server.keys("unacked*") in ([], [b"unacked.looking"])
    with consuming(durable) as inbox:
        assert inbox.wait_for(4) == [1, 2, 3, 4]
        assert [bool(m.headers.get("redelivered")) for m in inbox.messages] == [True, True, True, False]


def test_a_live_consumer_keeps_its_messages(durable: Connection, server: redis.Redis) -> None:
    """However long it holds them, and however often others look."""
    send(durable, range(3))
    with consuming(durable, prefetch=3) as inbox, durable.clone() as other, consuming(other, "other") as looking:
        inbox.wait_for(3)
        (mine,) = {tag.rpartition(b":")[0] for tag in server.hkeys("unacked")}
        first = server.zscore(CONSUMERS, mine)
        wait_until(lambda: looking.drained() and _grown(server, mine, first, 3000), 10, "signs of life")
        assert server.hlen("unacked") == 3


def test_a_stalled_consumer_with_a_connection_keeps_its_messages(
    durable: Connection, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is stopped, or computes without letting its threads run."""
    send(durable, range(3))
    with consuming(durable, prefetch=3) as inbox:
        inbox.wait_for(3)
        consumer = inbox.messages[0].delivery_tag.rpartition(":")[0]
        monkeypatch.setattr(liveness, "STALLED", 600)
        beat = liveness.Heart._beat
        monkeypatch.setattr(
            liveness.Heart, "_beat", lambda heart: None if heart._holding.consumer == consumer else beat(heart)
        )
        with durable.clone() as other, consuming(other, "other") as looking:
            wait_until(lambda: looking.drained() and _silence(server, consumer) > 3000, 10, "silence")
            assert server.hlen("unacked") == 3


def test_messages_filed_by_plain_workers_are_left_to_kombus_rule(
    durable: Connection, plain: Connection, server: redis.Redis
) -> None:
    """They have no owner whose life could be looked at."""
    send(plain, [1, 2])
    with consuming(plain, prefetch=1) as theirs:
        theirs.wait_for(1)
        with consuming(durable) as ours:
            ours.wait_for(1)
            wait_until(lambda: ours.drained() and server.zcard(CONSUMERS) and _beats(server) > 3)
            assert server.hlen("unacked") == 2


def _grown(server: redis.Redis, consumer: bytes, first: float | None, ms: float) -> bool:
    score = server.zscore(CONSUMERS, consumer)
    return score is not None and first is not None and score - first > ms


def _silence(server: redis.Redis, consumer: str) -> float:
    seconds, micros = server.time()
    return seconds * 1000 + micros / 1000 - (server.zscore(CONSUMERS, consumer) or 0)


def _beats(server: redis.Redis) -> int:
    calls = server.info("commandstats").get("cmdstat_zrangebyscore", {}).get("calls", 0)
    return int(calls)

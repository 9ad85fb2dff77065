"""Claims reach the queue their message came from, or say why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kombu import Connection

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.deadletter.identity import DEAD_ID, PUBLISH_ID, REPLAY_NO
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.ledger.replay import Replayer
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.brokers import QUEUE, declare, take
from tests.integration.ledger.conftest import HeldClock
from tests.letters import headers_of, letter

pytestmark = pytest.mark.integration

ADA = Actor("ada", "cause fixed")
NOWHERE = "amqp://guest:secret@127.0.0.1:1//"


def to(url: str) -> Callable[[], Connection]:
    """What opens connections to a broker."""
    return lambda: Connection(url, connect_timeout=2)


def claims(ledger: Ledger, *notes: Any) -> list[Claim]:
    """Record letters and claim a replay of each."""
    ledger.ingest(notes)
    granted = [verdict.claim for verdict in ledger.claim([note.dead_id for note in notes], ADA)]
    return [claim for claim in granted if claim is not None]


def status(ledger: Ledger, dead_id: str) -> str:
    """Of a record."""
    story = ledger.story(dead_id)
    assert story is not None
    return story.letter.status


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (b'[["\\u00e9", {"a": [1, null]}], {}, {}]', "application/json", "utf-8"),
        (bytes(range(256)) * 300, "application/x-python-serialize", "binary"),
        ('[["d\u00e9j\u00e0 \u65e5\u672c"], {}, {}]'.encode(), "application/json", "utf-8"),
        ("\ufeffx".encode("utf-16"), "text/plain", "utf-16"),
        (b"", "application/json", "utf-8"),
        (b"\xff\xfe no type at all", None, None),
    ],
)
def test_the_bytes_are_those_received(
    desk: Ledger, broker_url: str, body: bytes, content_type: str | None, encoding: str | None
) -> None:
    """Byte for byte, with type, encoding, reply queue, correlation and priority as received."""
    declare(broker_url)
    note = letter(
        payload=Payload(
            body,
            content_type,
            encoding,
            headers_of("m1", expires="2000-01-01", custom={"deep": [1, "é"]}),
            {"correlation_id": "m1", "reply_to": "answers", "priority": 3},
        )
    )
    (claim,) = claims(desk, note)

    with Replayer(to(broker_url), desk) as replayer:
        assert replayer.send([claim]) == {}

    (message,) = take(broker_url)
    received = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    assert (received, message.content_type, message.content_encoding) == (body, content_type, encoding)
    assert message.headers["custom"] == {"deep": [1, "é"]}
    assert (message.headers["retries"], message.headers[DEAD_ID], message.headers[REPLAY_NO]) == (
        0,
        note.dead_id,
        1,
    )
    assert "expires" not in message.headers
    kept = {name: message.properties.get(name) for name in ("correlation_id", "reply_to", "priority")}
    assert kept == {"correlation_id": "m1", "reply_to": "answers", "priority": 3}
    assert message.properties["delivery_mode"] == 2


def test_what_was_sent_is_not_sent_again(desk: Ledger, broker_url: str, clock: HeldClock) -> None:
    """The sweep leaves a claim alone that was published and marked."""
    declare(broker_url)
    with Replayer(to(broker_url), desk) as replayer:
        replayer.send(claims(desk, letter()))
        clock.advance(60)
        assert replayer.sweep() == 0

    assert len(take(broker_url)) == 1


def test_an_abandoned_claim_is_published(desk: Ledger, broker_url: str, clock: HeldClock) -> None:
    """A publisher that died after its claim is replaced by the sweep, once."""
    declare(broker_url)
    (claim,) = claims(desk, letter())
    clock.advance(31)

    with Replayer(to(broker_url), desk) as replayer:
        assert replayer.sweep() == 1
        clock.advance(31)
        assert replayer.sweep() == 0

    (message,) = take(broker_url)
    assert message.headers[REPLAY_NO] == 1
    assert message.headers[PUBLISH_ID] != claim.payload.headers[PUBLISH_ID]


def test_a_queue_that_does_not_exist(desk: Ledger, vhost_url: str) -> None:
    """RabbitMQ hands the message back: nothing is lost silently, and the next one still goes out."""
    declare(vhost_url)
    missing, present = letter("m1", queue="nowhere"), letter("m2")

    with Replayer(to(vhost_url), desk) as replayer:
        failures = replayer.send(claims(desk, missing, present))

    assert failures.keys() == {missing.dead_id}
    failure = failures[missing.dead_id]
    assert failure.reason == "no_queue"
    assert "'nowhere' does not exist; start a worker" in failure.detail
    assert len(take(vhost_url, QUEUE)) == 1


def test_the_sweep_gives_back_what_has_no_queue(desk: Ledger, vhost_url: str, clock: HeldClock) -> None:
    """An abandoned claim whose queue is gone returns its record."""
    note = letter(queue="nowhere")
    claims(desk, note)
    clock.advance(31)

    with Replayer(to(vhost_url), desk) as replayer:
        assert replayer.sweep() == 0

    assert status(desk, note.dead_id) == "PENDING"


def test_a_message_that_amqp_cannot_carry(desk: Ledger, vhost_url: str) -> None:
    """A header beyond the protocol fails this message alone."""
    declare(vhost_url)
    odd = letter("m1", payload=Payload(b"x", "text/plain", "utf-8", {"number": 2**80}))

    with Replayer(to(vhost_url), desk) as replayer:
        failures = replayer.send(claims(desk, odd, letter("m2")))

    assert {dead_id: failure.reason for dead_id, failure in failures.items()} == {odd.dead_id: "not_accepted"}
    assert len(take(vhost_url)) == 1


@pytest.mark.parametrize("url", [NOWHERE, "redis://:secret@127.0.0.1:1/0"])
def test_a_broker_that_is_away(desk: Ledger, url: str) -> None:
    """Each record learns that the broker is away, in one masked line; it is asked once, not per record."""
    asked: list[str] = []

    def connect() -> Connection:
        asked.append(url)
        return Connection(url, connect_timeout=2)

    notes = [letter(f"m{number}") for number in range(5)]
    with Replayer(connect, desk) as replayer:
        failures = replayer.send(claims(desk, *notes))

    assert [failure.reason for failure in failures.values()] == ["broker_away"] * 5
    line = failures[notes[0].dead_id].detail
    assert "secret" not in line
    assert "start it, then replay again" in line
    assert len(asked) == 1


def test_the_sweep_waits_for_the_broker(desk: Ledger, clock: HeldClock) -> None:
    """While the broker is away an abandoned claim is kept."""
    note = letter()
    claims(desk, note)
    clock.advance(31)

    with Replayer(to(NOWHERE), desk) as replayer:
        assert replayer.sweep() == 0

    assert status(desk, note.dead_id) == "RETRYING"

"""What the recorder adds to the notes it reads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from kombu import Connection, Producer, Queue

from fluxora_tasks.deadletter.envelope import DeadLetter, Note, content_type_of, encode
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping import Grouping, Rule
from fluxora_tasks.ledger.reading import NoteReader
from fluxora_tasks.ledger.recorder import Recorder
from tests.letters import letter

OWN = Fingerprint("hook", ("custom=x",))


def recorded(count: int, messages: Sequence[tuple[bytes, str, dict[str, Any]]], grouping: Grouping) -> list[Note]:
    """What reaches the ledger, in order."""
    notes: list[Note] = []
    stop = threading.Event()

    def ingest(batch: Sequence[Note]) -> Any:
        notes.extend(batch)
        if len(notes) >= count:
            stop.set()
        return SimpleNamespace(parked=0)

    ledger: Any = SimpleNamespace(ingest=ingest)
    with Connection("memory://") as connection:
        queue = Queue("grouped-dead", routing_key="grouped-dead")
        for body, content_type, headers in messages:
            Producer(connection).publish(
                body, routing_key=queue.name, declare=[queue], content_type=content_type, content_encoding="binary",
                headers=headers,
            )  # fmt: skip
        recorder = Recorder(connection, queue, ledger, sweep=lambda: None, reader=NoteReader(grouping))
        watchdog = threading.Timer(20, stop.set)
        watchdog.start()
        recorder.run(stop)
        watchdog.cancel()
    return notes


def note(**changes: Any) -> tuple[bytes, str, dict[str, Any]]:
    one = letter(**changes)
    return encode(one), content_type_of(one), {}


def test_a_letter_without_a_fingerprint_gets_one() -> None:
    """One of an older worker, and one of the broker's own; by the rules of the application."""
    death = {"reason": "maxlen", "queue": "demand", "count": 1, "time": datetime(2000, 6, 5, tzinfo=UTC).timestamp()}
    messages = [
        note(exception_type="shop.PayError", message="no 17"),
        note(fingerprint=OWN),
        note(task="shop.ruled"),
        (b"[]", "application/json", {"x-death": [death], "task": "shop.charge", "id": "1"}),
    ]
    notes = recorded(4, messages, Grouping((Rule("ruled", task="shop.ruled"),)))
    found = [one.fingerprint for one in notes if isinstance(one, DeadLetter)]
    assert found == [
        Fingerprint("message", ("type=shop.PayError", "message=no <int>", "task=demand.ingest")),
        OWN,
        Fingerprint("rule", ("key=ruled",)),
        Fingerprint("broker_dlq", ("kind=broker_dlq", "queue=demand", "reason=maxlen")),
    ]


def test_a_fault_in_grouping_keeps_the_letter() -> None:
    """As it is."""

    def redact(text: str) -> str:
        raise RuntimeError

    (kept,) = recorded(1, [note(message="x")], Grouping(redact=redact))
    assert isinstance(kept, DeadLetter)
    assert kept.fingerprint is None

"""Messages that could not become records, tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from fluxora_tasks.deadletter.envelope import DEAD_LETTER_TYPE, DeadLetter, Payload, encode
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.reading import NoteReader
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.imports import Imports
from tests.integration.ledger.reading import record
from tests.letters import letter

pytestmark = pytest.mark.integration


def raw(note: DeadLetter) -> Payload:
    """A note as it came."""
    return Payload(encode(note), DEAD_LETTER_TYPE, "utf-8")


def test_a_message_that_can_be_read_now_becomes_a_record(ledger: Ledger, engine: Engine) -> None:
    """It is parked no more, its message is told, and a second try finds nothing."""
    note = letter("m1")
    ledger.park(raw(note), "an older release could not read it")
    told: list[str] = []
    imports = Imports(ledger, NoteReader(), told.extend)
    (parked,) = imports.list().items

    (result,) = imports.retry([str(parked.seq)])

    assert (result.outcome, told) == ("done", ["m1"])
    assert record(engine, note.dead_id)["status"] == "PENDING"
    assert (imports.list().items, ledger.failed_import_count()) == ([], 0)
    assert [one.outcome for one in imports.retry([str(parked.seq)])] == ["refused"]


def test_what_is_still_unreadable_stays(ledger: Ledger) -> None:
    """With its bytes, and with why it failed this time; others are not kept from theirs."""
    ledger.park(Payload(b"garbage", DEAD_LETTER_TYPE), "no note")
    ledger.park(raw(letter("m1")), "old")
    ledger.park(raw(replace(letter("m2"), dead_id="x" * 100)), "id too long")
    imports = Imports(ledger, NoteReader())

    outcomes = [one.outcome for one in imports.retry([])]

    assert outcomes == ["refused", "done", "refused"]
    errors = [one.error for one in imports.list().items]
    assert ["not a dead-letter note" in errors[0], "dead_id" in errors[1]] == [True, True]
    assert ledger.find().total == 1


def test_a_record_that_exists_already_is_no_second_one(ledger: Ledger) -> None:
    """A kill between the two steps of a try makes the next one find the record."""
    ledger.ingest([letter("m1")])
    ledger.park(raw(letter("m1")), "old")

    Imports(ledger, NoteReader()).retry([])

    assert (ledger.find().total, ledger.failed_import_count()) == (1, 0)


def test_pages_and_numbers(ledger: Ledger) -> None:
    """Oldest first; what is no number is told."""
    for number in range(3):
        ledger.park(Payload(b"%d" % number), "no note")
    imports = Imports(ledger, NoteReader())

    first = imports.list(limit=2)
    rest = imports.list(cursor=first.next)

    assert [len(first.items), len(rest.items), first.total, rest.next] == [2, 1, 3, None]
    with pytest.raises(ConfigurationError, match="imports list"):
        imports.retry(["one"])

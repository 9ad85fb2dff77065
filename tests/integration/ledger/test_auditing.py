"""Questions to the audit, and counts that need no look at every record."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine

from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.ledger.auditing import TrailQuery
from fluxora_tasks.ledger.models import AuditEventRow, DeadLetterRow, table_of
from fluxora_tasks.ledger.records import TrailEntry
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.reading import rows
from tests.letters import letter, moment, success

pytestmark = pytest.mark.integration

ADA = Actor("ada", "cause fixed")


def entries(engine: Engine, times: list[float]) -> None:
    """Entries of the audit, written in this order at these times; about records, groups and operations in turn."""
    written = []
    for number, at in enumerate(times):
        subject: dict[str, Any] = {"dead_letter_id": "", "group_id": None, "operation_id": None}
        subject[("dead_letter_id", "group_id", "operation_id")[number % 3]] = f"id{number % 6}"
        texts = dict.fromkeys(("source", "reason", "detail"), "")
        state = {"event": "resolved", "from_status": None, "to_status": "RESOLVED", "replay_no": number}
        written.append({"at": moment(at), "actor": f"user{number % 2}", **subject, **texts, **state})
    with engine.begin() as connection:
        connection.execute(table_of(AuditEventRow).insert(), written)


def pages(ledger: Ledger, query: TrailQuery, limit: int = 3) -> list[TrailEntry]:
    """All of them, page by page."""
    found: list[TrailEntry] = []
    for _ in count():
        page = ledger.trail(query, before=found[-1].seq if found else None, limit=limit)
        found += page
        if len(page) < limit:
            return found
    raise AssertionError


@pytest.mark.parametrize("number", range(6))
def test_what_it_is_about(engine: Engine, ledger: Ledger, number: int) -> None:
    """A record, a group or an operation: each of its entries once, the newest first, also on later pages."""
    entries(engine, [float(at) for at in range(40)])

    found = pages(ledger, TrailQuery(about=f"id{number}", actor=f"user{number % 2}"))

    assert [entry.replay_no for entry in found] == [at for at in range(39, -1, -1) if at % 6 == number]


@pytest.mark.parametrize("wanted", ["system", "worker", "ada", "nobody"])
def test_who_did_it(ledger: Ledger, wanted: str) -> None:
    """People and machines alike."""
    ledger.ingest([letter("m1"), letter("m2")])
    ledger.discard([letter("m1").dead_id], ADA)
    ledger.ingest([success(letter("m2"), replay_no=0)])
    everything = ledger.trail(TrailQuery())
    assert {entry.actor for entry in everything} == {"system", "worker", "ada"}

    assert ledger.trail(TrailQuery(actor=wanted)) == [entry for entry in everything if entry.actor == wanted]


def test_what_was_done(ledger: Ledger) -> None:
    """What every message makes, and what seldom happens."""
    ledger.ingest([letter("m1"), letter("m2")])
    ledger.discard([letter("m1").dead_id], ADA)
    ledger.restore([letter("m1").dead_id], ADA)
    everything = ledger.trail(TrailQuery())
    assert {entry.event for entry in everything} >= {"failed", "discarded", "restored"}

    for wanted in ("failed", "discarded", "restored", "resolved", "purged"):
        assert ledger.trail(TrailQuery(event=wanted)) == [entry for entry in everything if entry.event == wanted]


def test_a_time_is_that_of_the_entry(engine: Engine, ledger: Ledger) -> None:
    """Of processes whose clocks differ, entries are not in the order of their times; none is missed or told twice."""
    times = [float(at // 2) for at in range(40)]
    random.Random(1).shuffle(times)
    entries(engine, times)

    found = pages(ledger, TrailQuery(since=moment(4), until=moment(15)))

    assert [entry.at for entry in found] == sorted((moment(at) for at in times if 4 <= at < 15), reverse=True)
    assert len({entry.seq for entry in found}) == len(found) == 22


def test_an_export_leaves_nothing_out(engine: Engine, ledger: Ledger) -> None:
    """It follows the order in which entries were written, whatever the clocks said."""
    times = [float(at) for at in range(20)]
    random.Random(2).shuffle(times)
    entries(engine, times)

    found = ledger.trail_onwards(TrailQuery(about="id1"), limit=100)

    assert [entry.replay_no for entry in found] == [1, 7, 13, 19]
    assert len(ledger.trail_onwards(TrailQuery(since=moment(10)), limit=100)) == 10


def test_records_by_status(engine: Engine, ledger: Ledger) -> None:
    """As a recount says, with those that belong to no group."""
    grouped = [letter(f"m{number}", fingerprint=Fingerprint("frame", (f"at=f{number % 2}",))) for number in range(5)]
    alone = [letter(f"n{number}") for number in range(4)]
    ledger.ingest([*grouped, *alone])
    ledger.resolve([grouped[0].dead_id, alone[0].dead_id], ADA)
    ledger.discard([grouped[1].dead_id], ADA)
    ledger.claim([grouped[2].dead_id, alone[1].dead_id], ADA)
    ledger.ingest([success(alone[1], 1)])

    counted = [row["status"] for row in rows(engine, DeadLetterRow)]

    counts = ledger.status_counts()
    assert counts == {status: counted.count(status) for status in counts}
    assert sum(counts.values()) == 9

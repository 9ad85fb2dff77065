"""Which records become items of an operation, and which of those it still takes when their turn comes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pytest
from sqlalchemy import delete

from fluxora_tasks.bulk import work
from fluxora_tasks.bulk.operation import Count, Kind, Plan, Selector
from fluxora_tasks.deadletter.envelope import DeadLetter
from fluxora_tasks.deadletter.envelope import Kind as DeadKind
from fluxora_tasks.ledger.database import writing
from fluxora_tasks.ledger.filters import parse
from fluxora_tasks.ledger.models import DeadLetterRow
from fluxora_tasks.ledger.records import Letter
from tests.integration.bulk.bench import ADA, EVERYTHING, Bench, same
from tests.integration.ledger.test_claims import claim

pytestmark = pytest.mark.integration


@pytest.fixture
def by_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are made of two records at a time."""
    monkeypatch.setattr(work, "LISTED", 2)


def items(bench: Bench, id: str) -> list[tuple[str, str, str]]:
    """Record, outcome and why of each item, in the order of the operation."""
    return [(item["dead_letter_id"], item["outcome"], item["why"]) for item in bench.items(id)]


# ------------------------------------------------------------------------------- a plan and what is taken

FILTERS = (
    "task:demand.*",
    "-queue:prices",
    "kind:worker_lost OR group:{group}",
    "age:>15m status:PENDING",
    "exception:ValueError attempts:>=4 queue:demand,prices",
)


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_counts_what_will_be_taken(bench: Bench, seed: int) -> None:
    """By each name, whatever the filter; what is listed afterwards are the records that the ledger finds."""
    chance = random.Random(seed)
    for number in range(30):
        bench.record(
            1,
            name=f"x{number}-",
            at=chance.randrange(900),
            task=chance.choice(["demand.ingest", "demand.clean", "price.fetch"]),
            queue=chance.choice(["demand", "prices"]),
            kind=chance.choice([DeadKind.RETRIES_EXHAUSTED, DeadKind.WORKER_LOST]),
            fingerprint=same(chance.randrange(3)),
        )
    bench.ledger.discard(chance.sample(sorted(bench.by_id), 5), ADA)

    for text in FILTERS:
        wanted = text.format(group=same(1).group_id)
        expected = bench.ledger.find(parse(f"({wanted}) status:PENDING"), limit=50).letters
        operation = bench.plan(selector=Selector(filter=wanted))
        bench.operations.start(operation.id, ADA)
        bench.work.list_more(operation.id)

        _agrees(operation.plan, expected)
        oldest_first = sorted(expected, key=lambda one: (one.last_failed_at, one.id))
        assert [dead_id for dead_id, *_ in items(bench, operation.id)] == [one.id for one in oldest_first], wanted


def _agrees(plan: Plan, found: Iterable[Letter]) -> None:
    letters = list(found)
    assert plan.total == len(letters) > 0
    for counts, names in (
        (plan.tasks, [one.task for one in letters]),
        (plan.queues, [one.queue for one in letters]),
        (plan.kinds, [one.kind for one in letters]),
        (plan.groups, [one.group for one in letters]),
        (plan.statuses, [one.status for one in letters]),
    ):
        assert _counted(counts) == Counter(names)
    assert plan.size == sum(one.size for one in letters)


def _counted(counts: tuple[Count, ...]) -> dict[str, int]:
    return {count.name: count.records for count in counts}


@pytest.mark.usefixtures("by_twos")
def test_records_are_listed_page_by_page(bench: Bench) -> None:
    """Each once and in order, those of one moment too; by ids as well."""
    notes = [bench.record(1, name=f"x{number}-", at=number // 3)[0] for number in range(7)]
    oldest_first = [note.dead_id for note in sorted(notes, key=lambda note: (note.failed_at, note.dead_id))]

    for selector in (EVERYTHING, Selector(ids=tuple(note.dead_id for note in reversed(notes)))):
        id = bench.start(selector=selector)
        assert [dead_id for dead_id, *_ in items(bench, id)] == oldest_first
        assert [item["seq"] for item in bench.items(id)] == list(range(1, 8))


# ------------------------------------------------------------------------- what changes after it was planned


@pytest.mark.usefixtures("by_twos")
def test_a_record_is_listed_once(bench: Bench) -> None:
    """Also where it fails anew, by a clock that is behind, while others are still to be listed."""
    notes = bench.record(4, at=100)
    id = bench.operations.start(bench.plan().id, ADA).id
    bench.work.list_more(id)
    (sent,) = bench.issue(id, 1)
    bench.answer(sent, failed=True, failed_at=notes[3].failed_at)

    while not bench.work.get(id).listed_all:
        bench.work.list_more(id)

    assert [dead_id for dead_id, *_ in items(bench, id)] == [note.dead_id for note in notes]
    assert bench.counters(id) == bench.recount(id)


@pytest.mark.parametrize("kind", [Kind.REPLAY, Kind.DISCARD, Kind.RESOLVE])
def test_a_record_that_fails_anew_is_not_taken(bench: Bench, kind: Kind) -> None:
    """That failure is not among those that the operator decided about; listed before it or not."""
    notes = bench.record(2)
    id = bench.start(kind)
    bench.clock.advance(60)
    bench.answer(claim(bench.ledger, notes[0].dead_id), failed=True)

    if kind is Kind.REPLAY:
        assert len(bench.issue(id)) == 1
    else:
        bench.work.act(id)

    done = "issued" if kind is Kind.REPLAY else "done"
    assert items(bench, id) == [(notes[0].dead_id, "skipped", "state_changed"), (notes[1].dead_id, done, "")]
    assert "failed again since the plan" in bench.items(id)[0]["detail"]
    assert bench.counters(id) == bench.recount(id)


def test_a_record_that_is_quarantined_meanwhile(bench: Bench) -> None:
    """Is taken only where the filter would have taken it so."""
    takes = {
        "task:demand.*": False,
        "status:PENDING": False,
        "-status:RESOLVED status:PENDING": False,
        "status:PENDING,FAILED": True,
        "-status:RESOLVED": True,
    }
    for number, wanted in enumerate(takes):
        (note,) = bench.record(1, name=f"x{number}-", task=f"demand.{number}")
        id = bench.start(selector=Selector(filter=f"({wanted}) task:demand.{number}"))
        quarantine(bench, note)

        bench.issue(id)

        taken = (note.dead_id, "issued", "") if takes[wanted] else (note.dead_id, "skipped", "quarantined")
        assert items(bench, id) == [taken], wanted


def quarantine(bench: Bench, note: DeadLetter) -> None:
    """A record fails as often as it may, by clocks that are behind."""
    for _ in range(3):
        one = claim(bench.ledger, note.dead_id)
        bench.answer(one, failed=True, failed_at=note.failed_at, task=note.task)


def test_a_record_that_is_gone_before_its_turn(bench: Bench) -> None:
    """Is skipped as unknown."""
    notes = bench.record(2)
    id = bench.start()
    forget(bench, notes[0].dead_id)

    assert [one.dead_id for one in bench.issue(id)] == [notes[1].dead_id]

    assert items(bench, id)[0] == (notes[0].dead_id, "skipped", "unknown")
    assert bench.counters(id) == bench.recount(id)


def test_a_record_that_is_gone_after_it_was_sent(bench: Bench) -> None:
    """Nobody will hear of it: it is unconfirmed, and the operation can end."""
    (note,) = bench.record(1)
    id = bench.start()
    bench.issue(id)
    forget(bench, note.dead_id)

    bench.work.learn(id)
    bench.work.end(id)

    assert items(bench, id) == [(note.dead_id, "unconfirmed", "")]
    assert bench.items(id)[0]["detail"] == "the record is gone"
    assert bench.operations.get(id).is_over


def test_a_message_of_unknown_origin_is_not_sent(bench: Bench) -> None:
    """It has no queue to go to."""
    (note,) = bench.record(1, queue="", dead_id="d1")
    id = bench.start()

    assert bench.issue(id) == []
    assert items(bench, id) == [(note.dead_id, "skipped", "no_queue")]


def forget(bench: Bench, dead_id: str) -> None:
    """Retention drops a record."""
    with writing(bench.engine) as connection:
        connection.execute(delete(DeadLetterRow).where(DeadLetterRow.id == dead_id))

"""What the executor does to records, step by step, and what it counts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from fluxora_tasks.bulk.operation import Kind, Selector, State
from fluxora_tasks.bulk.work import LeaseLost, Work
from fluxora_tasks.ledger.filters import parse
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.operations.records import Actor
from tests.integration.bulk.bench import ADA, Bench, same
from tests.integration.ledger.test_claims import claim

pytestmark = pytest.mark.integration

EVE = Actor("eve", "was quicker")


def by_record(bench: Bench, id: str) -> list[tuple[str, str]]:
    """Outcome and why of each record, in the order of the operation."""
    return [(item["outcome"], item["why"]) for item in bench.items(id)]


def test_records_that_changed_meanwhile_are_skipped(bench: Bench) -> None:
    """Each with its own word: replayed by somebody, decided, quarantined, gone."""
    notes = bench.record(5)
    id = bench.start()
    claim(bench.ledger, notes[0].dead_id)
    bench.ledger.discard([notes[1].dead_id], EVE)
    for _ in range(3):
        bench.answer(claim(bench.ledger, notes[2].dead_id), failed=True)

    (sent,) = bench.issue(id)[:1]

    assert by_record(bench, id) == [
        ("skipped", "already_replaying"),
        ("skipped", "state_changed"),
        ("skipped", "quarantined"),
        ("issued", ""),
        ("issued", ""),
    ]
    assert sent.dead_id == notes[3].dead_id
    assert "already replaying by ada" in bench.items(id)[0]["detail"]
    assert bench.counters(id) == bench.recount(id)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (Kind.RESOLVE, None, "RESOLVED"),
        (Kind.DISCARD, None, "DISCARDED"),
        (Kind.RESTORE, "discard", "PENDING"),
    ],
)
def test_what_sends_nothing_is_done_at_once(bench: Bench, kind: Kind, before: str | None, after: str) -> None:
    """Every record has its line in the audit with the operation in it."""
    notes = bench.record(3)
    if before:
        bench.ledger.discard([note.dead_id for note in notes], EVE)
    id = bench.start(kind)

    assert bench.work.act(id) == 3
    assert bench.work.act(id) == 0
    bench.work.end(id)

    assert bench.ledger.status_counts()[after] == 3
    assert bench.outcomes(id) == {("done", ""): 3}
    assert bench.operations.get(id).state is State.COMPLETED
    assert bench.counters(id) == bench.recount(id)
    story = bench.ledger.story(notes[0].dead_id)
    assert story is not None
    assert story.events[-1].actor == "ada"


def test_outcomes_are_learned_from_the_replays(bench: Bench) -> None:
    """Succeeded, failed as before, failed otherwise, not to be published; and what is not known yet."""
    bench.record(5)
    id = bench.start()
    one, two, three, four, _ = bench.issue(id)
    bench.answer(one)
    bench.answer(two, failed=True)
    bench.answer(three, failed=True, fingerprint=same(2))
    bench.ledger.release(four.item_id, "the queue 'demand' does not exist")

    assert bench.work.learn(id) == 4
    assert bench.work.learn(id) == 0
    bench.work.end(id)

    assert by_record(bench, id) == [
        ("succeeded", ""),
        ("failed_again", "same"),
        ("failed_again", "new"),
        ("publish_failed", ""),
        ("issued", ""),
    ]
    items = bench.items(id)
    assert (items[1]["new_group_id"], items[2]["new_group_id"]) == (same(1).group_id, same(2).group_id)
    operation = bench.operations.get(id)
    assert (operation.state, operation.in_flight) == (State.RUNNING, 1)
    assert bench.counters(id) == bench.recount(id)


def test_a_late_outcome_still_counts(bench: Bench) -> None:
    """An operation may end with records nobody has heard of; when somebody does, it says so."""
    bench.record(2)
    id = bench.start()
    one, two = bench.issue(id)
    bench.ledger.mark_issued([one.item_id, two.item_id])
    bench.answer(one)
    bench.clock.advance(1000)
    assert bench.ledger.flag_unconfirmed(after=900) == 1
    bench.work.learn(id)
    bench.work.end(id)
    ended = bench.operations.get(id)
    assert (ended.state, ended.unconfirmed, ended.succeeded) == (State.COMPLETED, 1, 1)
    assert [operation.id for operation in bench.work.unconfirmed_operations()] == [id]

    bench.answer(two)
    bench.work.learn(id)

    late = bench.operations.get(id)
    assert (late.unconfirmed, late.succeeded, late.ended_at) == (0, 2, ended.ended_at)
    assert bench.work.unconfirmed_operations() == []
    assert bench.counters(id) == bench.recount(id)


def test_what_failed_again_may_be_taken_once_more(bench: Bench) -> None:
    """One filter finds exactly those of one operation."""
    bench.record(6)
    id = bench.start()
    claims = bench.issue(id)
    for number, one in enumerate(claims):
        bench.answer(one, failed=number % 2 == 0)
    bench.work.learn(id)
    bench.work.end(id)

    wanted = f"op:{id} outcome:failed_again"
    again = bench.start(selector=Selector(filter=wanted))

    failed = {one.dead_id for number, one in enumerate(claims) if number % 2 == 0}
    assert set(bench.ledger.select(parse(wanted), limit=10)) == failed
    assert {item["dead_letter_id"] for item in bench.items(again)} == failed
    assert {one.replay_no for one in bench.issue(again)} == {2}


@pytest.mark.parametrize("stop", ["cancel", "abort"])
def test_a_stopped_operation_skips_the_rest(bench: Bench, stop: str) -> None:
    """Nothing more is claimed; what was sent is awaited, and then it has ended."""
    bench.record(5)
    id = bench.start()
    one, two = bench.issue(id, 2)
    if stop == "cancel":
        bench.operations.cancel(id, ADA)
    else:
        bench.work.abort(id, "cause not fixed")

    assert bench.issue(id) == []
    assert bench.work.skip_rest(id) == 3
    bench.work.end(id)
    assert bench.operations.get(id).ended_at is None
    for claimed in (one, two):
        bench.answer(claimed)
    bench.work.learn(id)
    bench.work.end(id)

    operation = bench.operations.get(id)
    assert (operation.ended_at, operation.succeeded, operation.skipped) == (bench.clock.now(), 2, 3)
    assert bench.ledger.status_counts()["PENDING"] == 3
    assert bench.counters(id) == bench.recount(id)


def test_a_paused_operation_claims_nothing(bench: Bench) -> None:
    """Until it is resumed; outcomes are learned meanwhile."""
    bench.record(3)
    id = bench.start()
    (one,) = bench.issue(id, 1)
    bench.operations.pause(id, ADA)

    assert bench.issue(id) == []
    bench.answer(one)
    assert bench.work.learn(id) == 1

    bench.operations.resume(id, ADA)
    assert len(bench.issue(id)) == 2


def test_only_the_holder_of_the_lease_works(bench: Bench) -> None:
    """The other one writes nothing; once the lease is given back it may work at once."""
    bench.record(3)
    id = bench.start()
    other = Work(bench.engine, "executor-2", bench.clock)
    steps: list[Callable[[Work], Any]] = [
        lambda work: work.list_more(id),
        lambda work: work.issue(id, 1, bench.operations.get(id).progress),
        lambda work: work.hold(id, "away"),
        lambda work: work.abort(id, "no"),
        lambda work: work.end(id),
        lambda work: work.skip_rest(id),
    ]
    before = (bench.items(id), bench.operations.get(id), bench.trail(id))

    assert not other.hold_lease(60)
    for step in steps:
        with pytest.raises(LeaseLost):
            step(other)
    assert (bench.items(id), bench.operations.get(id), bench.trail(id)) == before

    bench.work.release_lease()
    assert other.hold_lease(60)
    assert len(other.issue(id, 3, bench.operations.get(id).progress)) == 3
    with pytest.raises(LeaseLost):
        bench.issue(id)


@pytest.mark.parametrize("seed", range(2))
def test_the_counters_are_those_of_the_items(bench: Bench, seed: int) -> None:
    """Whatever happens in whatever order, also to records that two operations want."""
    chance = random.Random(seed)
    notes = bench.record(12)
    ids = [bench.start(), bench.start(selector=Selector(filter="task:demand.ingest"))]
    claims: list[Claim] = []

    def issue(id: str) -> None:
        claims.extend(bench.issue(id, chance.randint(1, 4)))

    def answer(id: str) -> None:
        if claims:
            bench.answer(claims.pop(chance.randrange(len(claims))), failed=chance.random() < 0.5)

    def meddle(id: str) -> None:
        bench.ledger.discard([chance.choice(notes).dead_id], EVE)

    def unconfirmed(id: str) -> None:
        bench.ledger.mark_issued([one.item_id for one in claims])
        bench.clock.advance(1000)
        bench.ledger.flag_unconfirmed(after=900)

    steps: list[Callable[[str], object]] = [
        *(issue, answer, answer, bench.work.learn, meddle, unconfirmed, bench.work.skip_rest, bench.work.end)
    ]
    for number in range(40):
        chance.choice(steps)(chance.choice(ids))
        if number == 25:
            bench.operations.cancel(ids[0], ADA) if bench.operations.get(ids[0]).ended_at is None else None
        for id in ids:
            assert bench.counters(id) == bench.recount(id)

    for id in ids:
        while bench.issue(id) or bench.work.skip_rest(id):
            pass
    for one in claims:
        bench.answer(one)
    bench.clock.advance(1)
    for id in ids:
        bench.work.learn(id)
        assert bench.counters(id) == bench.recount(id)

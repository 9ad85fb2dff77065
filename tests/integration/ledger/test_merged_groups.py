"""Groups that people say are one: they show, count and are found as one, until it is taken back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from fluxora_tasks.bulk.operation import Kind, Pace, Selector
from fluxora_tasks.bulk.store import Operations
from fluxora_tasks.deadletter.envelope import DeadLetter
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.errors import ConflictError
from fluxora_tasks.ledger.filters import parse
from fluxora_tasks.ledger.models import AuditEventRow, DeadLetterRow, GroupRow, OutboxRow
from fluxora_tasks.ledger.records import Group, Verdict
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.groups import Groups
from fluxora_tasks.operations.records import Actor
from tests.integration.ledger.conftest import HeldClock
from tests.integration.ledger.reading import counted, recounted, rows
from tests.letters import letter, moment

pytestmark = pytest.mark.integration

ADA = Actor("ada", "one cause")
ONE, TWO, THREE = (Fingerprint("frame", (f"at=demand:step{number}",)) for number in range(3))


def alike(message_id: str, of: Fingerprint, **more: Any) -> DeadLetter:
    """A letter with a fingerprint."""
    return letter(message_id, fingerprint=of, **more)


def outcomes(verdicts: list[Verdict]) -> list[str]:
    """In the order of the ids."""
    return [verdict.outcome for verdict in verdicts]


def merge(ledger: Ledger, *of: Fingerprint, into: Fingerprint) -> list[str]:
    """Say that they are one."""
    return outcomes(ledger.merge_groups([one.group_id for one in of], into.group_id, ADA))


def unmerge(ledger: Ledger, *of: Fingerprint) -> list[str]:
    """Take it back."""
    return outcomes(ledger.unmerge_groups([one.group_id for one in of], ADA))


def shown(ledger: Ledger) -> dict[str, Group]:
    """Groups of the list, by id."""
    return {group.id: group for group in ledger.groups().items}


@pytest.fixture
def two(ledger: Ledger) -> Ledger:
    """Two records of one group, then one of another."""
    ledger.ingest([alike("m1", ONE, at=1), alike("m2", ONE, at=2), alike("m3", TWO, at=3, message="newest")])
    return ledger


def test_they_show_and_count_as_one(two: Ledger) -> None:
    """Under the id of the head, with the newest failure of both; the old id leads there."""
    assert merge(two, TWO, into=ONE) == ["done"]

    page = two.groups()
    (group,) = page.items
    assert (group.id, group.pending, group.failures, page.total) == (ONE.group_id, 3, 3, 1)
    assert (group.message, group.merged) == ("newest", [TWO.group_id])
    assert (group.first_failed_at, group.last_failed_at) == (moment(1), moment(3))
    assert two.groups_starting_with(TWO.group_id) == [group]


@pytest.mark.parametrize("of", [ONE, TWO])
@pytest.mark.parametrize(
    ("wanted", "found"),
    [("group:{0}", 3), ("-group:{0}", 1), ("group:{0} task:demand.ingest", 3), ("group:{0},{1}", 4), ("group:{2}*", 1)],
)
def test_filters_find_them_by_either_id(two: Ledger, of: Fingerprint, wanted: str, found: int) -> None:
    """A list, an operation; a pattern means what it says."""
    two.ingest([alike("m4", THREE, at=4)])
    merge(two, TWO, into=ONE)

    text = wanted.format(of.group_id, THREE.group_id, TWO.group_id[:8])

    assert two.find(parse(text)).total == found
    assert len(two.select(parse(text), limit=10)) == found
    planned = Operations(two._engine).plan(Kind.DISCARD, Selector(filter=text), Pace(), ADA)
    assert planned.planned == found


def test_an_operation_keeps_what_it_was_planned_for(two: Ledger) -> None:
    """What is merged later is not taken."""
    planned = Operations(two._engine).plan(Kind.DISCARD, Selector(filter=f"group:{ONE.group_id}"), Pace(), ADA)
    merge(two, TWO, into=ONE)

    assert planned.selector.filter == f"group:{ONE.group_id}"
    again = Operations(two._engine).plan(Kind.DISCARD, planned.selector, Pace(), ADA)
    assert (planned.planned, again.planned) == (2, 3)


def test_a_failure_of_an_alias_shows_in_its_head(two: Ledger, clock: HeldClock) -> None:
    """A resolved head has regressed by it, in one line of the audit and one event."""
    merge(two, TWO, into=ONE)
    two.set_group_state([TWO.group_id], "resolved", ADA)
    assert shown(two)[ONE.group_id].state == "resolved"
    clock.advance(100)

    two.ingest([alike("m4", TWO, at=1100, message="again")])

    group = shown(two)[ONE.group_id]
    assert (group.state, group.message, group.last_failed_at, group.regressions) == (
        "regressed",
        "again",
        moment(1100),
        1,
    )
    regressions = rows(two._engine, AuditEventRow, event="group_regressed")
    assert [row["group_id"] for row in regressions] == [ONE.group_id]
    assert len(rows(two._engine, OutboxRow, event="group.regressed")) == 1


def test_both_fail_in_one_batch(two: Ledger) -> None:
    """The newest of them is shown, whichever group it is of."""
    merge(two, TWO, into=ONE)
    two.ingest([alike("m5", ONE, at=50, message="head"), alike("m6", TWO, at=60, message="alias")])
    assert shown(two)[ONE.group_id].message == "alias"

    two.ingest([alike("m7", ONE, at=80, message="head"), alike("m8", TWO, at=70, message="alias")])
    assert shown(two)[ONE.group_id].message == "head"


def test_it_is_taken_back(two: Ledger) -> None:
    """Each has its own records and its own failures again; the head shows its own newest."""
    merge(two, TWO, into=ONE)
    two.ingest([alike("m4", TWO, at=40)])

    assert unmerge(two, TWO) == ["done"]

    groups = shown(two)
    assert {id: (group.pending, group.last_failed_at) for id, group in groups.items()} == {
        ONE.group_id: (2, moment(2)),
        TWO.group_id: (2, moment(40)),
    }
    assert not any(group.merged for group in groups.values())
    assert groups[TWO.group_id].state == "open"


def test_a_group_that_failed_meanwhile_has_regressed(two: Ledger, clock: HeldClock) -> None:
    """It was resolved before it was merged; its failures as an alias count."""
    two.set_group_state([TWO.group_id], "resolved", ADA)
    merge(two, TWO, into=ONE)
    clock.advance(100)
    two.ingest([alike("m4", TWO, at=1100)])

    unmerge(two, TWO)

    assert shown(two)[TWO.group_id].state == "regressed"


def test_a_failure_makes_a_resolved_head_regress_when_it_comes_in(two: Ledger, clock: HeldClock) -> None:
    """Merging does not hide a failure that is newer than the word that all is well."""
    two.set_group_state([ONE.group_id], "resolved", ADA)
    clock.advance(100)
    two.ingest([alike("m4", TWO, at=1100)])

    merge(two, TWO, into=ONE)

    assert shown(two)[ONE.group_id].state == "regressed"


def test_there_are_no_chains(two: Ledger) -> None:
    """Whatever was merged into a group comes along with it."""
    two.ingest([alike("m4", THREE, at=4)])
    merge(two, ONE, into=TWO)
    assert merge(two, TWO, into=THREE) == ["done"]

    (group,) = two.groups().items
    assert (group.id, group.pending, set(group.merged)) == (THREE.group_id, 4, {ONE.group_id, TWO.group_id})
    assert two.find(parse(f"group:{ONE.group_id}")).total == 4
    assert {row["merged_into"] for row in rows(two._engine, GroupRow)} == {THREE.group_id, None}


@pytest.mark.parametrize(
    ("ask", "outcome", "said"),
    [
        (lambda ledger: ledger.merge_groups([ONE.group_id], ONE.group_id, ADA), "refused", "into itself"),
        (lambda ledger: ledger.merge_groups([TWO.group_id], ONE.group_id, ADA), "refused", "already"),
        (lambda ledger: ledger.merge_groups(["nobody"], ONE.group_id, ADA), "unknown", "no group"),
        (lambda ledger: ledger.unmerge_groups([ONE.group_id], ADA), "refused", "into no other"),
        (lambda ledger: ledger.unmerge_groups(["nobody"], ADA), "unknown", "no group"),
    ],
)
def test_what_is_refused(two: Ledger, ask: Callable[[Ledger], list[Verdict]], outcome: str, said: str) -> None:
    """Each says why, and changes nothing."""
    merge(two, TWO, into=ONE)
    before = (rows(two._engine, GroupRow), rows(two._engine, AuditEventRow))

    (verdict,) = ask(two)

    assert (verdict.outcome, said in verdict.detail) == (outcome, True), verdict
    assert (rows(two._engine, GroupRow), rows(two._engine, AuditEventRow)) == before


def test_a_head_that_became_an_alias_meanwhile(two: Ledger) -> None:
    """Nothing is merged into it; an operator's id leads to the new head."""
    two.ingest([alike("m4", THREE, at=4)])
    merge(two, TWO, into=ONE)
    with pytest.raises(ConflictError, match="was merged meanwhile"):
        two.merge_groups([THREE.group_id], TWO.group_id, ADA)

    (result,) = Groups(two).merge([THREE.group_id], TWO.group_id, ADA)

    assert (result.outcome, result.detail) == ("done", f"is one with {ONE.group_id} now")


def test_each_is_told_once(two: Ledger) -> None:
    """One line of the audit with who, why and the head, and one event, for each group that moved."""
    two.ingest([alike("m4", THREE, at=4)])
    merge(two, ONE, into=TWO)
    merge(two, TWO, into=THREE)
    unmerge(two, ONE)

    told = [
        (row["group_id"], row["event"], row["from_status"], row["to_status"], row["detail"], row["actor"])
        for row in rows(two._engine, AuditEventRow)
        if "merged" in row["event"]
    ]
    assert Counter(told) == Counter(
        [
            (ONE.group_id, "group_merged", "open", "merged", TWO.group_id, "ada"),
            (ONE.group_id, "group_merged", "merged", "merged", THREE.group_id, "ada"),
            (TWO.group_id, "group_merged", "open", "merged", THREE.group_id, "ada"),
            (ONE.group_id, "group_unmerged", "merged", "open", THREE.group_id, "ada"),
        ]
    )
    events = [row["event"] for row in rows(two._engine, OutboxRow) if "merged" in row["event"]]
    assert sorted(events) == ["group.merged"] * 3 + ["group.unmerged"]


@pytest.mark.parametrize("seed", range(8))
def test_the_sums_are_those_of_a_recount(engine: Engine, ledger: Ledger, clock: HeldClock, seed: int) -> None:
    """Whatever is merged, taken back, decided and fails in whatever order."""
    chance = random.Random(seed)
    prints = [Fingerprint("frame", (f"at=f{number}",)) for number in range(5)]
    notes: list[DeadLetter] = []

    def fail() -> None:
        clock.advance(1)
        at = (clock.now() - moment(0)).total_seconds()
        some = [alike(f"m{len(notes) + number}", chance.choice(prints), at=at + number / 10) for number in range(3)]
        notes.extend(some)
        ledger.ingest(some)

    def decide() -> None:
        chance.choice((ledger.discard, ledger.resolve, ledger.restore))([chance.choice(notes).dead_id], ADA)

    def join() -> None:
        one, other = chance.sample(prints, 2)
        known = {row["id"]: row["merged_into"] for row in rows(engine, GroupRow)}
        if {one.group_id, other.group_id} <= known.keys():
            Groups(ledger).merge([one.group_id], other.group_id, ADA)

    fail()
    for _ in range(25):
        chance.choice((fail, decide, join, lambda: unmerge(ledger, chance.choice(prints))))()
        _check(engine, ledger)

    unmerge(ledger, *prints)
    assert counted(engine) == recounted(engine)
    _check(engine, ledger)


def _check(engine: Engine, ledger: Ledger) -> None:
    """No chains; every record is in one group of the list, and found by each of its ids."""
    into = {row["id"]: row["merged_into"] for row in rows(engine, GroupRow)}
    assert all(into[head] is None for head in into.values() if head)
    records = Counter(into[row["group_id"]] or row["group_id"] for row in rows(engine, DeadLetterRow))
    listed = ledger.groups().items
    sums = {group.id: sum(getattr(group, name) for name in ("pending", "resolved", "discarded")) for group in listed}
    assert sums == {group.id: records[group.id] for group in listed}
    assert sum(sums.values()) == records.total()
    for alias, head in into.items():
        assert ledger.find(parse(f"group:{alias}")).total == records[head or alias]


def test_recorders_and_an_operator_at_once(engine: Engine, ledger: Ledger) -> None:
    """Failures come in while groups are merged and parted: nobody waits for ever, and all is counted."""
    prints = [Fingerprint("frame", (f"at=f{number}",)) for number in range(6)]
    ledger.ingest([alike(f"first{number}", of) for number, of in enumerate(prints)])

    def record(worker: int) -> None:
        chance = random.Random(worker)
        for number in range(15):
            chance.shuffle(prints_of := list(prints))
            ledger.ingest([alike(f"w{worker}-{number}-{at}", of, at=number) for at, of in enumerate(prints_of)])

    def operate(worker: int) -> None:
        chance = random.Random(worker)
        for _ in range(15):
            one, other = chance.sample(prints, 2)
            try:
                Groups(ledger).merge([one.group_id], other.group_id, ADA)
                unmerge(ledger, chance.choice(prints))
            except ConflictError:
                pass

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(record, 1), pool.submit(record, 2), pool.submit(operate, 3), pool.submit(operate, 4)]
        for task in tasks:
            task.result(timeout=60)

    assert counted(engine) == recounted(engine)
    _check(engine, ledger)

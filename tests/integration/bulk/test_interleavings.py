"""Several operations, two executors, operators and workers at once, in any order: what is kept stays true."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import delete

from fluxora_tasks.bulk import work
from fluxora_tasks.bulk.operation import Kind, Selector, State
from fluxora_tasks.bulk.work import Work
from fluxora_tasks.errors import ConflictError
from fluxora_tasks.ledger.database import writing
from fluxora_tasks.ledger.models import DeadLetterRow, ReplayItemRow
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.operations.records import Actor
from tests.integration.bulk.bench import ADA, Bench
from tests.integration.bulk.test_plans import STEPS
from tests.integration.ledger.reading import rows

pytestmark = pytest.mark.integration

EVE = Actor("eve", "knew better")

#: What an item may say of a replay that stands so in the end. One that was told of a failure keeps it, where another
#: copy of the message succeeds afterwards.
SAID = {
    "succeeded": {"succeeded", "failed_again"},
    "failed": {"failed_again"},
    "aborted": {"publish_failed"},
    "lost": {"failed_again"},
    "issued": {"unconfirmed", "issued"},
    "claimed": {"issued"},
}


class Crowd:
    """Everybody who has to do with some records, as chance will have it."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.chance = bench, random.Random(seed)
        self.notes = bench.record(10, name=f"x{seed}-", at=bench.clock.now().timestamp() % 1000, queue=f"q{seed}")
        self.selector = Selector(filter=f"queue:q{seed}")
        self.ids: list[str] = []
        self.claims: list[Claim] = []
        self.steps: list[Callable[[], object]] = [
            *(self.issue, self.issue, self.answer, self.answer, self.answer, self.repeat, self.refuse),
            *(self.silence, self.silence, self.decide, self.lose, self.hand_over, self.change, self.forget),
            *(self.work("list_more"), self.work("list_more"), self.work("act"), self.work("learn"), self.work("learn")),
            *(self.work("skip_rest"), self.work("end")),
        ]
        self.answered: list[Claim] = []

    @property
    def id(self) -> str:
        return self.chance.choice(self.ids)

    @property
    def dead_id(self) -> str:
        return self.chance.choice(self.notes).dead_id

    def begin(self) -> None:
        """Two replays of the same, and another kind beside them."""
        for kind in (Kind.REPLAY, Kind.REPLAY, self.chance.choice([Kind.DISCARD, Kind.RESOLVE, Kind.RESTORE])):
            self.bench.clock.advance(1)
            planned = self.bench.plan(kind, self.selector)
            self.ids.append(self.bench.operations.start(planned.id, ADA).id)

    def work(self, name: str) -> Callable[[], object]:
        def step() -> None:
            id = self.id
            is_replay = self.bench.operations.get(id).kind is Kind.REPLAY
            if name != "act" or not is_replay:
                getattr(self.bench.work, name)(id)

        return step

    def issue(self) -> None:
        id = self.id
        if self.bench.operations.get(id).kind is Kind.REPLAY:
            self.claims += self.bench.issue(id, self.chance.randint(1, 4))

    def answer(self) -> None:
        if self.claims:
            one = self.claims.pop(self.chance.randrange(len(self.claims)))
            self.answered.append(one)
            self.bench.answer(one, failed=self.chance.random() < 0.5)

    def repeat(self) -> None:
        """A worker that died before its acknowledgement runs it once more, perhaps with another end."""
        if self.answered:
            self.bench.answer(self.chance.choice(self.answered), failed=self.chance.random() < 0.5)

    def refuse(self) -> None:
        """The broker does not take a message."""
        if self.claims:
            one = self.claims.pop()
            self.bench.ledger.release(one.item_id, "the queue does not exist")

    def silence(self) -> None:
        self.bench.ledger.mark_issued([one.item_id for one in self.claims])
        self.bench.clock.advance(self.chance.choice([1, 1000]))
        self.bench.ledger.flag_unconfirmed(after=900)

    def decide(self) -> None:
        ledger = self.bench.ledger
        decision = self.chance.choice([ledger.discard, ledger.resolve, ledger.restore, ledger.readmit])
        decision([self.dead_id], EVE)

    def lose(self) -> None:
        if self.claims:
            one = self.chance.choice(self.claims)
            self.bench.ledger.lose(one.dead_id, one.replay_no, EVE)

    def hand_over(self) -> None:
        self.bench.work.release_lease()
        self.bench.work = Work(self.bench.engine, f"executor-{self.chance.randint(1, 2)}", self.bench.clock)
        assert self.bench.work.hold_lease(3600)

    def change(self) -> None:
        step = self.chance.choice(["pause", "resume", "resume", "hold", "go on", "go on", "cancel", "abort"])
        if step not in ("cancel", "abort") or self.chance.random() < 0.4:
            with suppress(ConflictError):
                STEPS[step](self.bench, self.id)

    def forget(self) -> None:
        """Retention drops a record."""
        if self.chance.random() < 0.1:
            with writing(self.bench.engine) as connection:
                connection.execute(delete(DeadLetterRow).where(DeadLetterRow.id == self.dead_id))

    def finish(self) -> None:
        """Whatever was claimed is answered, and every operation goes on to its end."""
        for id in self.ids:
            for step in ("resume", "go on"):
                with suppress(ConflictError):
                    STEPS[step](self.bench, id)
            while not self.bench.operations.get(id).is_over:
                self.bench.work.list_more(id)
                if self.bench.operations.get(id).kind is Kind.REPLAY:
                    self.claims += self.bench.issue(id)
                else:
                    self.bench.work.act(id)
                self.bench.work.skip_rest(id)
                while self.claims:
                    self.answer()
                for one in self.ids:
                    self.bench.work.learn(one)
                self.bench.work.end(id)


@pytest.fixture(autouse=True)
def _by_threes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are made of three records at a time, and some are acted upon at a time."""
    monkeypatch.setattr(work, "LISTED", 3)
    monkeypatch.setattr(work, "CHUNK", 4)


def test_what_is_kept_stays_true(bench: Bench) -> None:
    """After each step the counters are those of the items; in the end each item says what became of its replay."""
    for seed in range(12 if bench.engine.dialect.name == "sqlite" else 5):
        crowd = Crowd(bench, seed)
        crowd.begin()
        for _ in range(60):
            crowd.chance.choice(crowd.steps)()
            for id in crowd.ids:
                assert bench.counters(id) == bench.recount(id), seed
        crowd.finish()
        for id in crowd.ids:
            _is_consistent(bench, id, seed)


def _is_consistent(bench: Bench, id: str, seed: int) -> None:
    operation, items = bench.operations.get(id), bench.items(id)
    assert (operation.in_flight, operation.pending) == (0, 0), seed
    assert operation.state in (State.COMPLETED, State.CANCELLED, State.ABORTED)
    assert bench.counters(id) == bench.recount(id)
    assert [item["seq"] for item in items] == list(range(1, len(items) + 1))
    assert max(Counter(item["dead_letter_id"] for item in items).values(), default=1) == 1
    replays = {row["dead_letter_id"]: row for row in rows(bench.engine, ReplayItemRow, operation_id=id)}
    assert len(replays) == len(rows(bench.engine, ReplayItemRow, operation_id=id)), "one replay for each record"
    for item in items:
        replay = replays.get(item["dead_letter_id"])
        if replay is not None:
            assert item["replay_no"] == replay["replay_no"]
            assert item["outcome"] in SAID[replay["state"]], (seed, item, replay)
            if (item["outcome"], replay["state"]) == ("failed_again", "succeeded"):
                assert item["changed_at"] <= replay["ended_at"], (seed, item, replay)
        else:
            is_gone = rows(bench.engine, DeadLetterRow, id=item["dead_letter_id"]) == []
            assert item["outcome"] in ("skipped", "done") or is_gone, (seed, item)
    states = [after for _, _, after in bench.trail(id)]
    assert [before for _, before, _ in bench.trail(id)[1:]] == states[:-1]
    assert bench.events(id) == [f"operation.{state}" for state in states]

"""Replays in a worker: which copies run, and what the ledger hears of each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from billiard.exceptions import WorkerLostError
from celery.exceptions import Ignore, Reject, Retry, TaskRevokedError
from celery.worker.state import revoked

from fluxora_tasks.deadletter.envelope import Confirmation, DeadLetter, Progress
from fluxora_tasks.worker.gate import Verdict
from fluxora_tasks.worker.replays import due_after
from tests.unit.worker.bench import Bench, info

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)

REPLAY = {"fx_dead_id": "dead", "fx_replay_no": 2, "fx_publish_id": "p1", "fx_message_id": "m"}


class Gate:
    """One replay; says ``verdict``, where that is set."""

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.verdict = verdict
        self.asked: list[tuple[str, int, str]] = []

    def enter(self, dead_id: str, replay_no: int, publish_id: str) -> Verdict:
        self.asked.append((dead_id, replay_no, publish_id))
        return self.verdict or (Verdict.RUN if publish_id == self.asked[0][2] else Verdict.DUPLICATE)


class Drops:
    """A journal that only counts."""

    def __init__(self) -> None:
        self.count = 0

    def dropped(self) -> None:
        self.count += 1

    def retried(self) -> None: ...


def bench_with(verdict: Verdict | None = None, **options: Any) -> Bench:
    return Bench(Gate(verdict), Drops(), breaker=None, **options)


def turned_away(bench: Bench, **headers: Any) -> None:
    with pytest.raises(TaskRevokedError):
        bench.start(**REPLAY | headers)


def note_of(bench: Bench) -> Any:
    (note,) = bench.box.notes
    return note


@pytest.fixture
def revoked_id() -> Iterator[None]:
    revoked.add("one")
    yield
    revoked.discard("one")


class TestCopies:
    """Which physical copy of a replay runs."""

    def test_the_second_is_dropped(self) -> None:
        """Acknowledged, counted, and nothing is told of it; the first and its redelivery run."""
        bench = bench_with()
        bench.start(**REPLAY)
        turned_away(bench, fx_publish_id="p2")
        bench.start(**REPLAY)
        assert bench.extension.runtime.gate.asked == [("dead", 2, "p1"), ("dead", 2, "p2"), ("dead", 2, "p1")]
        assert (len(bench.pool.runs), bench.settled, bench.box.notes) == (2, ["acknowledged"], [])
        assert bench.extension.runtime.books.journal.count == 1

    @pytest.mark.parametrize("verdict", [Verdict.DUPLICATE, Verdict.VOID])
    def test_one_that_is_dropped_is_dropped_when_it_comes_again(self, verdict: Verdict) -> None:
        """A redelivery changes nothing."""
        bench = bench_with(verdict)
        request = bench.request(**REPLAY)
        request._delivery_info["redelivered"] = True
        for _ in range(2):
            with pytest.raises(TaskRevokedError):
                request.execute_using_pool(bench.pool)
        assert (bench.pool.runs, bench.settled, bench.box.notes) == ([], ["acknowledged"], [])
        assert len(bench.extension.runtime.gate.asked) == 1

    @pytest.mark.usefixtures("revoked_id")
    def test_one_that_is_dropped_is_not_reported_as_revoked(self) -> None:
        """The record has its outcome from the copy that ran."""
        bench = bench_with(Verdict.DUPLICATE)
        turned_away(bench)
        assert (bench.box.notes, bench.settled) == ([], ["acknowledged"])

    @pytest.mark.usefixtures("revoked_id")
    def test_a_revoked_replay_fails(self) -> None:
        """Its record hears of it."""
        bench = bench_with(Verdict.RUN)
        turned_away(bench)
        assert (note_of(bench).kind, note_of(bench).replay_no) == ("revoked", 2)

    @pytest.mark.parametrize("headers", [{}, {"fx_dead_id": "dead"}, {"fx_dead_id": "dead", "fx_replay_no": "2"}])
    def test_other_messages_are_not_asked_about(self, headers: dict[str, Any]) -> None:
        """Nor are those whose headers no replay could carry."""
        bench = bench_with(Verdict.VOID)
        bench.start(**headers)
        assert (len(bench.pool.runs), bench.extension.runtime.gate.asked) == (1, [])

    def test_a_message_of_protocol_1_is_a_replay_too(self) -> None:
        """Celery takes its headers from the body; ours stand on the message."""
        bench = bench_with(Verdict.VOID)
        request = bench.request(**REPLAY)
        for name in REPLAY:
            del request._request_dict[name]
        with pytest.raises(TaskRevokedError):
            request.execute_using_pool(bench.pool)
        assert (bench.pool.runs, bench.settled) == ([], ["acknowledged"])


class TestNobodyCanTell:
    """Shared state is away."""

    def test_it_runs_and_its_outcome_says_so(self) -> None:
        """Success and failure alike."""
        bench = bench_with(Verdict.UNKNOWN)
        bench.start(**REPLAY)
        bench.start(**REPLAY)
        bench.pool.runs[0]["callback"]((0, "'done'", 0.1))
        bench.pool.runs[1]["error_callback"](info(ValueError("broken")))
        assert [(type(note), note.gate_unavailable) for note in bench.box.notes] == [
            (Confirmation, True),
            (DeadLetter, True),
        ]

    def test_otherwise_the_outcome_does_not(self) -> None:
        """The gate was asked."""
        bench = bench_with()
        bench.start(**REPLAY)
        bench.pool.run["callback"]((0, "'done'", 0.1))
        assert not note_of(bench).gate_unavailable

    def test_a_strict_task_waits(self) -> None:
        """The same message comes again in some seconds, no attempt and no patience with circuits used."""
        bench = bench_with(Verdict.UNKNOWN, strict_replay=True)
        turned_away(bench, retries=1, fx_deferrals=3)
        (again,) = bench.deferrals.notes
        assert again.headers == {"id": "one", "task": "guarded", "retries": 1, "fx_deferrals": 3, **REPLAY}
        assert (again.queue, 5 <= again.delay <= 10) == ("celery", True)
        assert isinstance(note_of(bench), Progress)
        assert note_of(bench).due_at - note_of(bench).seen_at == timedelta(seconds=again.delay)
        assert (bench.pool.runs, bench.settled) == ([], ["acknowledged"])

    def test_a_strict_task_from_an_unknown_queue_is_requeued(self) -> None:
        """It cannot be sent back with a wait."""
        bench = bench_with(Verdict.UNKNOWN, strict_replay=True)
        request = bench.request(queue="elsewhere", **REPLAY)
        with pytest.raises(TaskRevokedError):
            request.execute_using_pool(bench.pool)
        assert (bench.pool.runs, bench.settled, bench.box.notes) == ([], ["requeued"], [])

    def test_a_strict_task_is_only_strict_about_replays(self) -> None:
        """Its other messages run."""
        bench = bench_with(Verdict.UNKNOWN, strict_replay=True)
        bench.start()
        assert len(bench.pool.runs) == 1


class TestOutcomes:
    """What the ledger hears."""

    @pytest.mark.parametrize("early", [False, True])
    def test_of_a_retry(self, early: bool) -> None:
        """That the replay goes on, and when; before the message is settled, or after it was long before."""
        bench = bench_with(acks_late=not early)
        request = bench.start(**REPLAY)
        if early:
            request.acknowledge()
        bench.pool.run["error_callback"](info(Retry(exc=ConnectionError(), when=30)))
        note = note_of(bench)
        assert isinstance(note, Progress)
        assert (note.dead_id, note.replay_no, note.run_id) == ("dead", 2, request._delivery.run_id)
        assert note.due_at - note.seen_at == timedelta(seconds=30)
        assert bench.settled == ["acknowledged"]

    def test_of_a_retry_before_it_is_settled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The note is out first."""
        bench = bench_with()
        releases: list[Any] = []
        monkeypatch.setattr(bench.box, "submit", lambda note, release: releases.append(release))
        bench.extension.runtime._hub = object()
        bench.start(**REPLAY)
        bench.pool.run["error_callback"](info(Retry(exc=ConnectionError(), when=30)))
        assert bench.settled == []
        releases[0]()
        assert bench.settled == ["acknowledged"]

    def test_of_a_worker_lost_and_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Celery's own republish is a retry like any."""
        bench = bench_with(retry_on_worker_lost=True, acks_late=True, default_retry_delay=7)
        monkeypatch.setattr(bench.app, "send_task", lambda *_, **__: None)
        monkeypatch.setattr(bench.app.amqp, "send_task_message", lambda *_, **__: None)
        bench.start(**REPLAY)
        bench.pool.run["error_callback"](info(WorkerLostError("killed")))
        note = note_of(bench)
        assert isinstance(note, Progress)
        assert note.due_at - note.seen_at == timedelta(seconds=7)
        assert bench.settled == ["acknowledged"]

    def test_of_a_circuit_that_is_open(self) -> None:
        """The replay goes on when the deferral is out; one story, in that order."""
        bench = Bench(Gate(), Drops())
        bench.open()
        turned_away(bench)
        (deferral,) = bench.deferrals.notes
        assert note_of(bench).due_at - note_of(bench).seen_at == timedelta(seconds=deferral.delay)
        assert bench.settled == ["acknowledged"]

    def test_of_an_ignored_one(self) -> None:
        """The task said it is done with: the replay is over, and its record resolved."""
        bench = bench_with()
        bench.start(**REPLAY)
        bench.pool.run["error_callback"](info(Ignore()))
        assert (type(note_of(bench)), note_of(bench).replay_no) == (Confirmation, 2)
        assert bench.settled == ["acknowledged"]

    def test_of_one_put_back(self) -> None:
        """Nothing: the same copy comes again."""
        bench = bench_with()
        bench.start(**REPLAY)
        bench.pool.run["error_callback"](info(Reject("later", requeue=True)))
        assert (bench.box.notes, bench.settled) == ([], ["requeued"])

    def test_of_a_task_that_keeps_no_failures(self) -> None:
        """A replay's failure is told all the same: its record waits for it."""
        bench = bench_with(dead_letter=False)
        bench.start(**REPLAY)
        bench.pool.run["error_callback"](info(ValueError("broken")))
        assert (type(note_of(bench)), note_of(bench).replay_no) == (DeadLetter, 2)

    @pytest.mark.parametrize("error", [Retry(exc=ConnectionError(), when=30), Ignore()])
    def test_of_a_message_that_never_died(self, error: Exception) -> None:
        """Nothing."""
        bench = bench_with()
        bench.start()
        bench.pool.run["error_callback"](info(error))
        assert (bench.box.notes, bench.settled) == ([], ["acknowledged"])


@pytest.mark.parametrize(
    ("when", "due"),
    [
        (30, NOW + timedelta(seconds=30)),
        (0.5, NOW + timedelta(seconds=0.5)),
        (NOW + timedelta(days=1), NOW + timedelta(days=1)),
        (datetime(2026, 11, 27), None),  # noqa: DTZ001 - without a zone
        (None, None),
        (True, None),
        ("soon", None),
        (1e300, None),
        (float("nan"), None),
    ],
)
def test_when_a_retry_is_due(when: Any, due: datetime | None) -> None:
    """As far as it says so."""
    assert due_after(when, NOW) == due

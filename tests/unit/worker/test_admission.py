"""A request and its permits, from the gate to the end of the run; pool and outboxes are the test's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry, TaskRevokedError
from celery.worker import state

from fluxora_tasks import DefaultValueFallback
from fluxora_tasks.deadletter.envelope import DeadLetter, Kind
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.events import TaskDeferred, subscribe
from fluxora_tasks.task.ending import ToldResult
from fluxora_tasks.worker.deferral import Deferral
from tests.unit.worker.bench import Bench, info

PLAN_B = DefaultValueFallback("plan b")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def events() -> Iterator[list[Any]]:
    heard: list[Any] = []
    end = subscribe(heard.append)
    yield heard
    end()


def succeed(bench: Bench, text: Any = "'done'") -> None:
    bench.pool.run["callback"]((0, text, 0.1))


class TestClosed:
    """The circuit gives a permit."""

    def test_a_result_is_a_success(self, bench: Bench) -> None:
        """Counted once, in this process."""
        bench.start()
        assert bench.counts == (0, 0), "nothing is known before the end"
        succeed(bench)
        assert bench.counts == (1, 0)
        assert bench.settled == ["acknowledged"]

    @pytest.mark.parametrize(
        "error",
        [ValueError("broken"), WorkerLostError("killed"), MemoryError(), SystemExit(1), Retry(exc=ConnectionError())],
    )
    def test_a_failure_is_one(self, bench: Bench, error: BaseException) -> None:
        """Whether it is tried again or not, and where its process did not live to tell."""
        bench.start()
        bench.pool.run["error_callback"](info(error))
        assert not bench.is_free

    def test_a_hard_time_limit_is_a_failure(self, bench: Bench) -> None:
        """The pool reports it twice."""
        bench.start()
        bench.pool.run["error_callback"](info(TimeLimitExceeded(1)))
        bench.pool.run["timeout_callback"](False, 1)
        assert not bench.is_free

    def test_a_soft_time_limit_says_nothing_yet(self, bench: Bench) -> None:
        """The body goes on."""
        bench.start()
        bench.pool.run["timeout_callback"](True, 1)
        succeed(bench)
        assert bench.counts == (1, 0)

    @pytest.mark.parametrize("error", [Ignore(), Reject("not mine", requeue=False), Reject("later", requeue=True)])
    def test_what_the_body_says_of_itself_counts_as_nothing(self, bench: Bench, error: Exception) -> None:
        """It is neither success nor failure."""
        bench.start()
        bench.pool.run["error_callback"](info(error))
        assert bench.counts == (0, 0)
        assert bench.is_free

    def test_a_cold_shutdown_counts_as_nothing(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever the runs that it ends say."""
        bench.start()
        monkeypatch.setattr(state, "should_terminate", 1)
        bench.pool.run["error_callback"](info(WorkerLostError("stopped")))
        assert bench.is_free

    def test_a_revoked_run_counts_as_nothing(self, bench: Bench) -> None:
        """It was ended from outside."""
        bench.start()._announce_revoked("terminated", True, "15", False)
        bench.pool.run["error_callback"](info(WorkerLostError("killed")))
        assert bench.is_free

    def test_a_pool_that_takes_nothing_costs_no_permit(self, bench: Bench) -> None:
        """There was no run."""
        bench.pool.broken = True
        with pytest.raises(OSError, match="no process"):
            bench.start()
        assert bench.counts == (0, 0)

    def test_the_value_of_a_fallback_is_no_success(self, bench: Bench) -> None:
        """The failure behind it counts; a body that was not called counts as nothing."""
        text = ToldResult("'plan b'")
        text.error = None
        bench.start()
        succeed(bench, text)
        assert bench.counts == (0, 0)
        bench.pool.runs.clear()
        text.error = ValueError("broken")
        bench.start()
        succeed(bench, text)
        assert not bench.is_free


class TestOpen:
    """The circuit refuses."""

    def test_the_message_is_put_off(self, bench: Bench, events: list[Any]) -> None:
        """It goes out again before this copy is acknowledged; the pool never sees it."""
        bench.open()
        with pytest.raises(TaskRevokedError):
            bench.start(retries=2)
        (deferral,) = bench.deferrals.notes
        assert isinstance(deferral, Deferral)
        assert (deferral.queue, deferral.headers["retries"], deferral.headers["fx_deferrals"]) == ("celery", 2, 1)
        assert 1.25 <= deferral.delay <= 60.0
        assert (bench.pool.runs, bench.settled, bench.box.notes) == ([], ["acknowledged"], [])
        (event,) = [event for event in events if isinstance(event, TaskDeferred)]
        assert (event.task, event.task_id, event.breaker, event.deferrals) == ("guarded", "one", "api", 1)
        assert event.delay == deferral.delay

    def test_it_is_not_acknowledged_before_the_broker_has_it(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also not by Celery, whatever it does meanwhile."""
        releases: list[Any] = []
        monkeypatch.setattr(bench.extension.runtime, "defer", lambda deferral, release: releases.append(release))
        bench.open()
        request = bench.request()
        with pytest.raises(TaskRevokedError):
            request.execute_using_pool(bench.pool)
        request.acknowledge()
        request.reject(requeue=True)
        assert bench.settled == []
        releases[0]()
        assert bench.settled == ["acknowledged"]

    @pytest.mark.parametrize(
        ("options", "headers", "text"),
        [
            ({"on_open": "reject"}, {}, "refused: circuit 'api' is OPEN"),
            (
                {"max_defer": 10},
                {"fx_deferrals": 3, "fx_deferred_for": 10.5},
                "circuit 'api' is still OPEN after 3 deferrals, 10 s in all",
            ),
            (
                {},
                {"fx_deferrals": 9, "fx_deferred_for": 100.0},
                "circuit 'api' is still OPEN after 9 deferrals, 100 s in all",
            ),
        ],
    )
    def test_it_may_die_of_it(self, options: dict[str, Any], headers: dict[str, Any], text: str) -> None:
        """As its task says, or the application; the dead letter and the result name the circuit."""
        bench = Bench(**options)
        bench.open()
        with pytest.raises(TaskRevokedError):
            bench.start(**headers)
        (letter,) = bench.box.notes
        assert isinstance(letter, DeadLetter)
        assert (letter.kind, letter.message) == (Kind.BREAKER_TIMEOUT, text)
        assert (bench.pool.runs, bench.settled, bench.deferrals.notes) == ([], ["acknowledged"], [])
        assert isinstance(bench.app.AsyncResult("one").result, CircuitBreakerError)

    def test_a_dead_letter_does_not_need_the_result_backend(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The message is kept where its result cannot be stored."""
        monkeypatch.setattr(bench.app.backend, "store_result", lambda *_, **__: 1 / 0)
        bench.task.max_defer = 0
        bench.open()
        with pytest.raises(TaskRevokedError):
            bench.start()
        assert [letter.kind for letter in bench.box.notes] == [Kind.BREAKER_TIMEOUT]
        assert bench.settled == ["acknowledged"]

    def test_a_task_with_a_fallback_runs_that(self) -> None:
        """The child is told what refused it, and the circuit nothing."""
        bench = Bench(fallback=PLAN_B)
        bench.open()
        bench.start()
        name, state_, retry_after = bench.pool.run["request"]["fx_refused"]
        assert (name, state_) == ("api", "OPEN")
        assert 290 < retry_after <= 330
        before = bench.counts
        succeed(bench)
        assert bench.counts == before
        assert bench.settled == ["acknowledged"]

    def test_a_message_from_an_unknown_queue_runs(self, bench: Bench) -> None:
        """Nobody knows where to send it."""
        bench.open()
        bench.start(queue="nobody's")
        assert len(bench.pool.runs) == 1

    def test_the_arguments_may_name_the_circuit(self) -> None:
        """Only those that need it are put off."""
        bench = Bench(breaker=lambda name: name)
        bench.open()
        bench.start("another")
        with pytest.raises(TaskRevokedError):
            bench.start("api")
        assert (len(bench.pool.runs), len(bench.deferrals.notes)) == (1, 1)


class TestMetInside:
    """The body met an open circuit, and its process asks for the message to be put off."""

    REFUSAL = Reject(CircuitBreakerError("inside", "OPEN", 5.0), requeue=True)

    def test_the_message_is_put_off(self, bench: Bench) -> None:
        """The task's own circuit learns nothing from it."""
        bench.start(fx_deferrals=1, fx_deferred_for=3.0)
        bench.pool.run["error_callback"](info(self.REFUSAL))
        (deferral,) = bench.deferrals.notes
        assert deferral.headers["fx_deferrals"] == 2
        assert deferral.headers["fx_deferred_for"] == pytest.approx(3.0 + deferral.delay, abs=0.001)
        assert (bench.settled, bench.counts) == (["acknowledged"], (0, 0))

    def test_a_task_without_a_circuit_of_its_own_is_put_off_too(self) -> None:
        """The refusal is the same."""
        bench = Bench(breaker=None)
        bench.start()
        bench.pool.run["error_callback"](info(self.REFUSAL))
        assert len(bench.deferrals.notes) == 1

    def test_from_an_unknown_queue_it_goes_back(self, bench: Bench) -> None:
        """To where the broker knows."""
        bench.start(queue="nobody's")
        bench.pool.run["error_callback"](info(self.REFUSAL))
        assert (bench.deferrals.notes, bench.settled) == ([], ["requeued"])


def test_a_fault_of_the_gate_lets_the_message_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of ours may break a task."""
    monkeypatch.setattr(bench.extension.breakers, "get", lambda name: 1 / 0)
    bench.start()
    succeed(bench)
    assert bench.settled == ["acknowledged"]
    assert "the gate failed" in caplog.text


def test_a_success_after_a_wait_is_told_to_its_record(bench: Bench) -> None:
    """Whoever sent the message again may have died before it acknowledged its own copy, and that one may be dead."""
    bench.start(fx_deferrals=1, fx_deferred_for=2.0)
    succeed(bench)
    assert [type(note).__name__ for note in bench.box.notes] == ["Confirmation"]

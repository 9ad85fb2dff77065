"""The permits of one run."""

from __future__ import annotations

from typing import Any

import pytest

from fluxora_tasks import BreakerPolicy, NonRetryableError
from fluxora_tasks.breaker.live import LiveBreaker
from fluxora_tasks.classification import Classifier, Outcome, classify
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.worker.permits import CircuitNames, Permits, take


class BadInput(Exception):
    """The other side is well."""


class Seconds:
    """Monotonic time that passes when told."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def circuit(clock: Seconds, name: str = "api", **policy: Any) -> LiveBreaker:
    rules = BreakerPolicy(**{"cooldown": 10.0, "jitter": 0.0, "probes": 1, "probes_required": 1, **policy})
    return LiveBreaker(name, rules, monotonic=clock)


def opened(clock: Seconds, name: str = "api") -> LiveBreaker:
    one = circuit(clock, name, all_failed=1)
    one.acquire().failure(ValueError())
    return one


def taken(*circuits: LiveBreaker, classifier: Classifier = classify) -> Permits:
    permits = take(circuits, classifier)
    assert isinstance(permits, Permits)
    return permits


def counts(one: LiveBreaker) -> tuple[int, int]:
    status = one.status()
    return status["calls"], status["failures"]


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("who knows"), (1, 1)),
        (ConnectionResetError(), (1, 1)),
        (NonRetryableError(), (1, 1)),
        (BadInput(), (1, 0)),
        (CircuitBreakerError("other"), (0, 0)),
        (KeyboardInterrupt(), (0, 0)),
    ],
)
def test_what_a_failure_counts_as(clock: Seconds, error: BaseException, expected: tuple[int, int]) -> None:
    """As the task's own classifier sees it; what was refused on our side says nothing about the other."""
    one = circuit(clock)
    taken(one, classifier=Classifier({BadInput: Outcome.BAD_REQUEST})).failed(error, 0.1)
    assert counts(one) == expected


def test_only_the_first_end_counts(clock: Seconds) -> None:
    """A time limit is reported twice."""
    one = circuit(clock)
    permits = taken(one)
    permits.failed(TimeoutError(), 1.0)
    permits.succeeded(1.0)
    permits.excluded()
    assert counts(one) == (1, 1)


def test_the_length_of_a_run_counts(clock: Seconds) -> None:
    """It is measured where the pool began, not where the permit was taken."""
    one = circuit(clock, slow_call=2.0)
    permits, other = taken(one), taken(one)
    clock.at = 5.0
    permits.succeeded(1.0)
    other.succeeded(3.0)
    assert one.status()["slow"] == 1


def test_all_circuits_must_give_a_permit(clock: Seconds) -> None:
    """The refusal names the one that does not."""
    well, ill = circuit(clock, "well"), opened(clock, "ill")
    refusal = take([well, ill], classify)
    assert isinstance(refusal, CircuitBreakerError)
    assert (refusal.name, refusal.state, refusal.retry_after) == ("ill", "OPEN", 10.0)


def test_no_probe_is_spent_where_another_circuit_refuses(clock: Seconds) -> None:
    """Nor is one kept: of two circuits that are due, the first one's comes back when the second has none to give."""
    due, ill = opened(clock, "due"), None
    clock.at = 5.0
    ill = opened(clock, "ill")
    clock.at = 11.0
    assert isinstance(take([due, ill], classify), CircuitBreakerError)
    clock.at = 20.0
    elsewhere = ill.acquire()
    assert isinstance(take([due, ill], classify), CircuitBreakerError)
    elsewhere.release()
    taken(due, ill).succeeded(0.1)
    assert (due.status()["state"], ill.status()["state"]) == ("CLOSED", "CLOSED")


@pytest.mark.parametrize(
    ("breaker", "expected"),
    [
        (None, ()),
        ("api", ("api",)),
        (["api", "db"], ("api", "db")),
        (lambda day, hour=0: f"{day}-{hour}", ("monday-3",)),
        (lambda *_, **__: ["api", "db", "api"], ("api", "db")),
        (lambda *_, **__: None, ()),
    ],
)
def test_the_circuits_of_a_run(breaker: Any, expected: tuple[str, ...]) -> None:
    """Named, or found by the task's arguments; each once."""
    assert CircuitNames().of("t", breaker, ["monday"], {"hour": 3}) == expected


@pytest.mark.parametrize(
    ("breaker", "complaint"),
    [
        (lambda: 1 / 0, "raised ZeroDivisionError"),
        (lambda other: "api", "raised TypeError"),
        (lambda: 3, "gave no name of a circuit but a int"),
        (lambda: ["api", 3], "gave no name of a circuit but a list"),
        (lambda: "a{b}", "gave no name of a circuit but a str"),
        (lambda: "", "gave no name of a circuit but a str"),
    ],
)
def test_a_function_that_cannot_say_is_reported_once(
    breaker: Any, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its task runs without a circuit; its arguments are in no log."""
    names = CircuitNames()
    assert [names.of("t", breaker, [], {}) for _ in range(3)] == [(), (), ()]
    assert [record.getMessage() for record in caplog.records] == [
        f"task t runs without a circuit: the function given as breaker= {complaint}"
    ]

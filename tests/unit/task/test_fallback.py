"""The fallback of a task: around its retries, instead of its body, and when a circuit refuses."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject, Retry

from fluxora_tasks import DefaultValueFallback, FallbackStrategy, RetryPolicy, install
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.errors import CircuitBreakerError, NoFallbackValue
from fluxora_tasks.fallback import RaiseFallback, last_outcome
from fluxora_tasks.fallback.live import Toggles
from fluxora_tasks.fallback.memory import MemoryToggleStore
from fluxora_tasks.fallback.registry import use_toggles
from fluxora_tasks.fallback.toggles import Mode, Switch, SwitchKind
from fluxora_tasks.task import ending
from fluxora_tasks.task.ending import ToldResult, told
from fluxora_tasks.task.outcome import read_mark

PLAN_B = DefaultValueFallback("plan b")
QUICK = RetryPolicy(max_attempts=3, base_delay=0, jitter=False)
REFUSED = CircuitBreakerError("api", "OPEN", 5.0)


class Empty(FallbackStrategy):
    """Has nothing to give."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        raise NoFallbackValue("nothing")


@pytest.fixture
def mode() -> Iterator[Callable[[str], None]]:
    """Sets what an operator wants for task ``guarded``, which is there already."""

    def set_mode(value: str) -> None:
        store = MemoryToggleStore()
        store.put(Switch(SwitchKind.MODE, "guarded", value, "ann"))
        use_toggles(Toggles(store, store))

    yield set_mode
    use_toggles(None)


class Task:
    """A task named ``guarded`` whose body does as it is told, in a worker's process."""

    def __init__(self, error: Exception | None = None, **options: Any) -> None:
        self.runs = 0
        app = Celery("unit", broker="memory://", set_as_current=False)
        install(app)

        @app.task(shared=False, name="guarded", retry_policy=QUICK, **options)
        def guarded(*args: Any) -> str:
            self.runs += 1
            if error is not None:
                raise error
            return "plan a"

        self.task = guarded

    def run(self, *args: Any, retries: int = 0, **request: Any) -> Any:
        """As a pool's process does; eager, so that nothing is published."""
        eager = request.pop("is_eager", True)
        self.task.push_request(
            id="one", args=args, kwargs={}, retries=retries, called_directly=False, is_eager=eager, **request
        )
        try:
            return self.task(*args)
        finally:
            self.task.pop_request()


def kind_of(error: BaseException) -> Kind | None:
    mark = read_mark(error)
    return mark[0] if mark else None


def test_a_fallback_is_asked_when_no_attempt_is_left() -> None:
    """Each attempt before is a retry; the value is the result, and says that it is degraded."""
    task = Task(ConnectionResetError(), fallback=PLAN_B)
    for retries in (0, 1):
        with pytest.raises(Retry):
            task.run(retries=retries)
    assert task.run(retries=2) == "plan b"
    outcome = last_outcome()
    assert outcome is not None
    assert (outcome.degraded, outcome.attempts, outcome.cause) == (True, 3, "failure_retryable")


def test_a_success_needs_none() -> None:
    """And says so."""
    assert Task(fallback=PLAN_B).run() == "plan a"
    outcome = last_outcome()
    assert outcome is not None
    assert not outcome.degraded


@pytest.mark.parametrize(
    ("error", "strategy", "kind"),
    [
        (ValueError("broken"), Empty(), Kind.EXCEPTION),
        (REFUSED, Empty(), Kind.BREAKER_TIMEOUT),
    ],
)
def test_without_a_value_the_failure_stands(error: Exception, strategy: FallbackStrategy, kind: Kind) -> None:
    """It is a dead letter of the kind it would have been."""
    with pytest.raises(type(error)) as caught:
        Task(error, fallback=strategy).run()
    assert caught.value is error
    assert kind_of(error) is kind


def test_arguments_that_do_not_fit_are_no_case_for_a_fallback() -> None:
    """The body never began."""
    task = Task(fallback=PLAN_B)
    task.task.run = lambda: "takes none"
    with pytest.raises(TypeError) as caught:
        task.run("one")
    assert kind_of(caught.value) is Kind.BAD_ARGUMENTS


def test_a_fallback_may_want_another_error_raised() -> None:
    """That one is kept, whatever led to it, and is put off by nobody."""
    for error in (ValueError("broken"), REFUSED):
        with pytest.raises(LookupError) as caught:
            Task(error, fallback=RaiseFallback(LookupError)).run(is_eager=False)
        assert kind_of(caught.value) in (Kind.EXCEPTION, Kind.BREAKER_TIMEOUT)


class TestRefusedByTheWorker:
    """The worker's gate has set ``fx_refused``."""

    GATE = {"fx_refused": ["api", "OPEN", 5.0]}

    def test_the_body_is_not_called(self) -> None:
        """The value says what it is for."""
        task = Task(breaker="api", fallback=PLAN_B)
        assert task.run(**self.GATE) == "plan b"
        assert task.runs == 0
        outcome = last_outcome()
        assert outcome is not None
        assert (outcome.cause, outcome.breaker, outcome.attempts) == ("refused", "api", 0)

    def test_without_a_value_the_message_is_put_off(self) -> None:
        """The worker is told what refused it."""
        task = Task(breaker="api", fallback=Empty())
        with pytest.raises(Reject) as caught:
            task.run(is_eager=False, **self.GATE)
        assert caught.value.requeue
        assert caught.value.reason.args == ("api", "OPEN", 5.0)
        assert task.runs == 0

    def test_switched_off_the_message_is_put_off(self, mode: Any) -> None:
        """As if there were no fallback."""
        task = Task(breaker="api", fallback=PLAN_B)
        mode("off")
        with pytest.raises(Reject):
            task.run(is_eager=False, **self.GATE)

    def test_when_its_time_is_up_it_dies(self) -> None:
        """Of a circuit that did not close."""
        task = Task(breaker="api", fallback=Empty(), max_defer=10)
        with pytest.raises(CircuitBreakerError) as caught:
            task.run(is_eager=False, headers={"fx_deferrals": 2, "fx_deferred_for": 11.0}, **self.GATE)
        assert kind_of(caught.value) is Kind.BREAKER_TIMEOUT


class TestRefusedInTheBody:
    """A function of the body has a circuit of its own."""

    def test_the_message_is_put_off(self) -> None:
        """No attempt is used, also where the refusal is behind another error."""
        wrapped = RuntimeError("no data")
        wrapped.__cause__ = REFUSED
        for error in (REFUSED, wrapped):
            with pytest.raises(Reject) as caught:
                Task(error).run(is_eager=False)
            assert caught.value.reason.args == REFUSED.args
            assert caught.value.reason is not REFUSED, "the traceback of this run stays behind"

    def test_a_fallback_is_asked_first(self) -> None:
        """Unless the task wants it last."""
        assert Task(REFUSED, fallback=PLAN_B).run(is_eager=False) == "plan b"
        with pytest.raises(Reject):
            Task(REFUSED, fallback=PLAN_B, on_open="defer").run(is_eager=False)
        late = {"fx_deferrals": 9, "fx_deferred_for": 4000.0}
        assert Task(REFUSED, fallback=PLAN_B, on_open="defer").run(is_eager=False, headers=late) == "plan b"

    def test_a_task_may_want_to_be_rejected(self) -> None:
        """Then it is a dead letter at once."""
        with pytest.raises(CircuitBreakerError):
            Task(REFUSED, on_open="reject").run(is_eager=False)
        assert kind_of(REFUSED) is Kind.BREAKER_TIMEOUT


@pytest.mark.parametrize(("wanted", "value", "runs"), [(Mode.ALWAYS, "plan b", 0), (Mode.AUTO, "plan a", 1)])
def test_an_operator_may_want_the_fallback(mode: Any, wanted: Mode, value: str, runs: int) -> None:
    """Then the body is not called."""
    task = Task(breaker="api", fallback=PLAN_B)
    mode(wanted.value)
    assert (task.run(), task.runs) == (value, runs)


def test_an_operator_may_want_none(mode: Any) -> None:
    """Then a failure is one."""
    task = Task(ValueError("broken"), fallback=PLAN_B)
    mode("off")
    with pytest.raises(ValueError, match="broken"):
        task.run()


def test_another_attempt_begins_anew_to_wait() -> None:
    """Its headers say nothing of waits before, whoever asks for it."""
    task = Task().task
    task.push_request(
        id="one", args=(), kwargs={}, headers={"fx_deferrals": 2, "fx_refused": 1, "fx_message_id": "m"}, retries=0
    )
    try:
        assert task.signature_from_request(retries=1).options["headers"] == {"fx_message_id": "m"}
        assert task.signature_from_request(headers={"fx_deferred_for": 1, "a": 2}).options["headers"] == {"a": 2}
    finally:
        task.pop_request()

    def test_what_a_message_says_of_itself_is_not_believed(self) -> None:
        """A task without a circuit runs its body, whatever the headers are."""
        assert Task(fallback=PLAN_B).run(**self.GATE) == "plan a"


class TestToldResult:
    """What circuits have to know of a result that a fallback gave."""

    def test_the_text_of_a_result_of_the_bodys_own_is_left_alone(self) -> None:
        """Nothing is behind it."""
        Task(fallback=PLAN_B).run()
        assert type(told("'plan a'")) is str

    def test_it_carries_the_failure_behind_it(self) -> None:
        """Through pickle, and once."""
        Task(ValueError("broken"), fallback=PLAN_B).run()
        text = pickle.loads(pickle.dumps(told("'plan b'")))
        assert text == "'plan b'"
        assert isinstance(text, ToldResult)
        assert repr(text.error) == "ValueError('broken')"
        assert type(told("'next'")) is str

    def test_it_says_that_the_body_was_not_called(self) -> None:
        """Then there is no failure behind it."""
        Task(breaker="api", fallback=PLAN_B).run(fx_refused=["api", "OPEN", 5.0])
        text = told("'plan b'")
        assert isinstance(text, ToldResult)
        assert text.error is None

    def test_a_run_forgets_the_one_before(self) -> None:
        """Whose result was never told."""
        ending.body_failed(ValueError("before"))
        Task(fallback=PLAN_B).run()
        assert type(told("'plan a'")) is str

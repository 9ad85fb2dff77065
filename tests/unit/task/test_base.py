"""ResilientTask, run eagerly: the decision without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery, Task, shared_task
from celery.exceptions import Ignore

from fluxora_tasks import NonRetryableError, ResilientTask, RetryableError, RetryPolicy, install
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.task.outcome import read_mark

QUICK = RetryPolicy(max_attempts=3, base_delay=0, jitter=False)


@pytest.fixture
def app() -> Celery:
    app = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False)
    install(app)
    return app


def runs_of(app: Celery, error: Exception, **options: Any) -> tuple[int, Any]:
    """How often a task that always fails runs, and its last exception."""
    runs = []

    @app.task(shared=False, **options)
    def failing() -> None:
        runs.append(1)
        raise error

    result = failing.apply()
    return len(runs), result.result


@pytest.mark.parametrize(
    ("error", "options", "runs", "kind"),
    [
        (ConnectionError(), {"retry_policy": QUICK}, 3, Kind.RETRIES_EXHAUSTED),
        (RetryableError("x"), {"retry_policy": QUICK}, 3, Kind.RETRIES_EXHAUSTED),
        (ValueError(), {"retry_policy": QUICK}, 1, Kind.EXCEPTION),
        (NonRetryableError(), {"retry_policy": QUICK}, 1, Kind.NON_RETRYABLE),
        (ConnectionError(), {"max_retries": 0}, 1, Kind.EXCEPTION),
        (ConnectionError(), {"retry_policy": RetryPolicy(max_attempts=1)}, 1, Kind.RETRIES_EXHAUSTED),
        (KeyError(), {"retry_policy": RetryPolicy(retry_on=KeyError, base_delay=0)}, 4, Kind.RETRIES_EXHAUSTED),
        (
            ConnectionError(),
            {"retry_policy": RetryPolicy(give_up_on=ConnectionError, base_delay=0)},
            1,
            Kind.NON_RETRYABLE,
        ),
        (RetryableError("x", 700), {"retry_policy": QUICK}, 1, Kind.DEADLINE),
        (
            KeyError(),
            {"autoretry_for": (KeyError,), "max_retries": 2, "retry_backoff": False},
            3,
            Kind.RETRIES_EXHAUSTED,
        ),
    ],
)
def test_runs_and_verdict(app: Celery, error: Exception, options: dict[str, Any], runs: int, kind: Kind) -> None:
    """How often each failure runs, and the kind of dead letter it would make."""
    count, last = runs_of(app, error, **options)
    assert count == runs
    assert last is error
    marked = read_mark(last)
    assert marked is not None
    if (kind, marked[0]) != (Kind.EXCEPTION, Kind.RETRIES_EXHAUSTED):  # one permitted attempt: either word is right
        assert marked[0] is kind


def test_celerys_own_words_go_through(app: Celery) -> None:
    """Ignore is not a failure and carries no verdict."""

    @app.task(shared=False)
    def ignoring() -> None:
        raise Ignore

    assert ignoring.apply().state == "IGNORED"


def test_a_direct_call_is_an_ordinary_call(app: Celery) -> None:
    """Outside a worker, and from inside another task's body, an exception is just raised."""
    runs = []

    @app.task(shared=False, retry_policy=QUICK)
    def failing() -> None:
        runs.append(1)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        failing()
    assert len(runs) == 1


def test_a_task_that_calls_itself_directly_is_retried_once_per_attempt(app: Celery) -> None:
    """The inner call raises like a function; only the outer body is settled."""
    depths = []

    @app.task(shared=False, retry_policy=QUICK, bind=True)
    def recursive(self: Any, depth: int) -> None:
        depths.append(depth)
        if depth:
            self(depth - 1)
        raise ConnectionError

    recursive.apply((1,))
    assert depths == [1, 0] * 3


def test_every_task_of_the_app_is_covered() -> None:
    """Declared before or after install, shared, with a base class of its own, or built in."""
    app = Celery("guest", broker="memory://", set_as_current=False)
    calls = []

    class Own(Task):  # type: ignore[misc]
        abstract = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            calls.append(self.name)
            return super().__call__(*args, **kwargs)

    @app.task(shared=False)
    def before() -> None: ...

    @shared_task(name="tests.shared_one")
    def shared() -> None: ...

    install(app)

    @app.task(shared=False, base=Own, dead_letter=False)
    def with_base() -> str:
        return "ran"

    @app.task(shared=False)
    def after() -> None: ...

    app.finalize()
    assert [name for name, task in app.tasks.items() if not isinstance(task, ResilientTask)] == []
    assert isinstance(with_base._get_current_object(), Own)
    assert with_base.apply().get() == "ran"
    assert with_base.dead_letter is False
    assert calls == [with_base.name]


def test_the_apps_own_task_class_is_extended_not_replaced() -> None:
    """A task_cls of the application (Django's, say) stays in the MRO."""

    class House(Task):  # type: ignore[misc]
        abstract = True
        house = True

    app = Celery("house", broker="memory://", task_cls=House, set_as_current=False)
    install(app)

    @app.task(shared=False)
    def task() -> None: ...

    assert task.house
    assert isinstance(task._get_current_object(), ResilientTask)


@pytest.mark.parametrize("wrong", [{"retry_policy": 3}, {"dead_letter": "no"}])
def test_a_wrong_option_is_refused_at_declaration(app: Celery, wrong: dict[str, Any]) -> None:
    """The message names the option."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):

        @app.task(shared=False, lazy=False, **wrong)
        def task() -> None: ...

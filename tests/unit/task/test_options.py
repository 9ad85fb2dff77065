"""Options of a task, as they are declared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks import CircuitBreaker, DefaultValueFallback, install
from fluxora_tasks.errors import ConfigurationError

PLAN_B = DefaultValueFallback(0)


def body(day: str) -> str:
    return day


@pytest.fixture
def app() -> Celery:
    app = Celery("unit", broker="memory://", set_as_current=False)
    install(app)
    return app


@pytest.mark.parametrize(
    "options",
    [
        {"breaker": "api"},
        {"breaker": ["api", "db"], "on_open": "reject"},
        {"breaker": lambda day: day, "max_defer": 0},
        {"breaker": "api", "max_defer": timedelta(days=7), "pause_queue": True},
        {"fallback": PLAN_B, "on_open": "fallback"},
        {"fallback": PLAN_B, "on_open": "defer"},
    ],
)
def test_options_that_work(app: Celery, options: dict[str, Any]) -> None:
    """Each is an attribute of the task."""
    task = app.task(shared=False, lazy=False, **options)(body)
    assert {name: getattr(task, name) for name in options} == options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"breaker": ""}, "breaker takes the name of a circuit, several names, or a function"),
        ({"breaker": []}, "breaker takes"),
        ({"breaker": ["api", 3]}, "breaker takes"),
        ({"breaker": "a{b}"}, "breaker takes"),
        ({"breaker": CircuitBreaker(name="api")}, "breaker takes"),
        ({"on_open": "wait"}, "on_open takes 'defer', 'fallback' or 'reject'; got 'wait'"),
        ({"on_open": "fallback"}, "on_open='fallback' needs a fallback="),
        ({"max_defer": -1}, "max_defer takes seconds from 0 to 604800; got -1"),
        ({"max_defer": True}, "max_defer takes"),
        ({"max_defer": timedelta(days=8)}, "max_defer takes"),
        ({"pause_queue": "yes"}, "pause_queue takes True or False"),
        ({"strict_replay": "yes"}, "strict_replay takes True or False"),
        ({"pause_queue": True}, "pause_queue=True needs breaker= with one name"),
        ({"pause_queue": True, "breaker": ["api", "db"]}, "pause_queue=True needs"),
        ({"pause_queue": True, "breaker": lambda: "api"}, "pause_queue=True needs"),
        ({"fallback": 3}, "fallback takes a FallbackStrategy; got 3"),
        ({"breakers": "api"}, "no option is called 'breakers'; did you mean 'breaker'"),
        ({"max_deferr": 3}, "did you mean 'max_defer'"),
    ],
)
def test_options_that_cannot_work_are_refused_at_declaration(
    app: Celery, options: dict[str, Any], message: str
) -> None:
    """One line with the task, the option, and what it takes."""
    with pytest.raises(ConfigurationError) as caught:

        @app.task(shared=False, lazy=False, name="charge", **options)
        def charge() -> None: ...

    assert str(caught.value).startswith("task charge: ")
    assert message in str(caught.value)


def test_options_of_celery_and_of_the_application_are_nobodys_slip(app: Celery) -> None:
    """Only names that are nearly ours are refused."""
    options = {"max_retries": 3, "rate_limit": "10/s", "on_error": 1, "break_even": 2}
    task = app.task(shared=False, lazy=False, **options)(body)
    assert task.break_even == 2


def test_a_function_of_the_arguments_does_not_become_a_method(app: Celery) -> None:
    """It gets the task's arguments, and not the task."""
    task = app.task(shared=False, lazy=False, breaker=lambda day: f"api-{day}")(body)
    assert task.breaker("monday") == "api-monday"

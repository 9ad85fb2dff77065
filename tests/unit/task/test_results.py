"""The result of a replay under a fresh task id, under the first one."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context

from fluxora_tasks import Settings, install
from fluxora_tasks.task.parking import ParkingBackend
from fluxora_tasks.task.results import original_id_of, storing_twice


@pytest.fixture
def app() -> Celery:
    app = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False)
    install(app, Settings())
    return app


def request(task_id: str, **more: Any) -> Context:
    return Context({"id": task_id, "task": "t", "fx_original_id": f"{task_id}-first", **more})


def outcome(app: Celery, task_id: str) -> tuple[str, Any]:
    result = app.AsyncResult(task_id)
    return result.state, result.result


def test_a_success_is_found_under_both(app: Celery) -> None:
    """By whoever waits on either."""
    app.backend.mark_as_done("a", 42, request=request("a"))
    assert outcome(app, "a") == outcome(app, "a-first") == ("SUCCESS", 42)
    assert app.AsyncResult("a-first").get(timeout=1) == 42


@pytest.mark.parametrize("parked", [False, True])
def test_a_failure_is_found_under_both(app: Celery, parked: bool) -> None:
    """Also of a task whose failures nobody is told of, and after the first id was said to be revoked."""
    backend = ParkingBackend(app.backend) if parked else app.backend
    app.backend.mark_as_revoked("b-first", "expired", request=Context({"id": "b-first"}))
    backend.mark_as_failure("b", ValueError("broken"), traceback="Traceback", request=request("b"))
    for task_id in ("b", "b-first"):
        assert outcome(app, task_id)[0] == "FAILURE"
        assert isinstance(outcome(app, task_id)[1], ValueError)


def test_what_is_not_an_end_is_not(app: Celery) -> None:
    """The first id shows what the message came to, not how."""
    app.backend.store_result("c", {"pid": 1}, "STARTED", request=request("c"))
    app.backend.mark_as_retry("c", ConnectionError(), request=request("c"))
    assert outcome(app, "c-first")[0] == "PENDING"


def test_what_is_not_to_be_stored_is_not(app: Celery) -> None:
    """A result that is ignored is ignored under both."""
    app.backend.mark_as_done("d", 42, request=request("d", ignore_result=True))
    app.backend.mark_as_failure("e", ValueError(), request=request("e"), store_result=False)
    assert {outcome(app, task_id)[0] for task_id in ("d", "d-first", "e", "e-first")} == {"PENDING"}


def test_the_rest_of_its_chain_keeps_its_own_ids(app: Celery) -> None:
    """Celery stores their failure in its name."""
    link = {"task": "next", "options": {"task_id": "link"}, "kwargs": {}}
    app.backend.mark_as_failure("f", ValueError(), request=request("f", chain=[link]))
    assert [outcome(app, task_id)[0] for task_id in ("link", "f", "f-first")] == ["FAILURE"] * 3


@pytest.mark.parametrize(
    "headers", [{}, {"fx_original_id": "a"}, {"fx_original_id": ""}, {"fx_original_id": 5}, {"headers": "text"}]
)
def test_other_messages_have_one_id(headers: dict[str, Any]) -> None:
    """Anybody may write anything into a message."""
    assert original_id_of(Context({"id": "a", **headers})) is None


class Backend:
    """Stores once, then is away."""

    def __init__(self) -> None:
        self.stored: list[str] = []

    def store_result(self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None) -> Any:
        if self.stored:
            raise ConnectionError("away")
        self.stored.append(task_id)
        return result


def test_a_fault_of_ours_never_reaches_the_task(caplog: pytest.LogCaptureFixture) -> None:
    """The log names both ids; a fault of the first store is Celery's to handle."""
    backend = storing_twice(Backend())
    assert backend.store_result("a", 42, "SUCCESS", request=request("a")) == 42
    assert "task a could not be stored as that of a-first" in caplog.text
    with pytest.raises(ConnectionError):
        backend.store_result("a", 42, "SUCCESS", request=request("a"))


def test_a_backend_that_was_there_before_install() -> None:
    """Somebody looked at it; it is stored under both all the same, and once each."""
    app = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False)
    before = app.backend
    install(app, Settings())
    install(app, Settings())
    assert app.backend is before
    app.backend.mark_as_done("g", 42, request=request("g"))
    assert outcome(app, "g-first") == ("SUCCESS", 42)


def test_nothing_outlives_the_app() -> None:
    """Neither the app nor its backend is kept."""
    app = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False)
    install(app, Settings())
    seen = weakref.ref(app.backend)
    app.close()
    del app
    gc.collect()
    assert seen() is None

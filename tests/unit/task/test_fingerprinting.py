"""Fingerprints from the process that ran the body."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery

from fluxora_tasks import ResilientTask, RetryPolicy, Settings, install
from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.task import fingerprinting
from fluxora_tasks.task.fingerprinting import attached_to
from fluxora_tasks.task.tracing import copy_lean_code, trace_bodies
from fluxora_tasks.worker.capture import reason_of

ONCE = RetryPolicy(max_attempts=1)


class Unpicklable(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.handle = lambda: text


class Grouped(ResilientTask):
    abstract = True

    def fingerprint(self, failure: BaseException) -> Any:
        given = failure.args[0]
        if given == "raise":
            raise RuntimeError("in the hook")
        return given


def fail(error: BaseException) -> None:
    raise error


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text('[[rules]]\nexception = "PermissionError"\nkey = "denied"\n')
    return path


@pytest.fixture
def app(rules: Path) -> Iterator[Celery]:
    app = Celery("grouping", broker="memory://", backend="cache+memory://", set_as_current=False)
    install(app, Settings(journal=False, grouping_file=rules))
    app.task(name="fail", shared=False, retry_policy=ONCE)(fail)
    app.task(name="grouped", base=Grouped, shared=False, retry_policy=ONCE)(fail)
    app.task(name="by_option", shared=False, fingerprint=lambda task, failure: [task.name, "x"])(fail)
    app.finalize()
    copy_lean_code(True)
    trace_bodies(app, "here")
    yield app
    copy_lean_code(False)


def failed(app: Celery, task: str, *args: Any) -> ExceptionInfo:
    """As the main process receives it."""
    request = {
        "id": "1", "task": task, "called_directly": False, "retries": 0, "lang": "py",
        "delivery_info": {"exchange": "", "routing_key": "shop"},
    }  # fmt: skip
    return pickle.loads(pickle.dumps(app.tasks[task].__trace__("1", args, {}, request).retval))


def fingerprint(app: Celery, task: str, *args: Any) -> Fingerprint:
    found = attached_to(failed(app, task, *args))
    assert found is not None
    return found


def test_it_travels_with_the_failure(app: Celery) -> None:
    """As the reason of the dead letter."""
    info = failed(app, "fail", ValueError("no price for 17"))
    expected = Fingerprint(
        "frame", ("type=builtins.ValueError", f"at={__name__}:fail", "message=no price for <int>", "task=fail")
    )
    assert reason_of(info, Kind.EXCEPTION).fingerprint == expected


def test_an_exception_that_cannot_travel_has_one(app: Celery) -> None:
    """Of its own type, not of the wrapper."""
    assert fingerprint(app, "fail", Unpicklable("x")).parts[:2] == (
        f"type={__name__}.Unpicklable",
        f"at={__name__}:fail",
    )


@pytest.mark.parametrize(
    ("error", "step", "part"),
    [
        (SoftTimeLimitExceeded(), "soft_time_limit", f"at={__name__}:fail"),
        (SystemExit(3), "frame", "type=builtins.SystemExit"),
        (MemoryError(), "frame", "type=builtins.MemoryError"),
        (PermissionError("x"), "rule", "key=denied"),
    ],
)
def test_the_end_of_a_body(app: Celery, error: BaseException, step: str, part: str) -> None:
    """Time limits, what would end the process, and rules of the application."""
    found = fingerprint(app, "fail", error)
    assert found.step == step
    assert part in found.parts


def test_wrong_arguments(app: Celery) -> None:
    """By what is wrong with them."""
    found = fingerprint(app, "fail", 1, 2)
    assert found.step == "bad_arguments"
    assert "message=fail() takes <int> positional argument but <int> were given" in found.parts


@pytest.mark.parametrize(
    ("given", "parts"),
    [("tenant", ("custom=tenant",)), (("a", "b"), ("custom=a", "custom=b")), (["a", ""], ("custom=a",))],
)
def test_a_task_decides_itself(app: Celery, given: Any, parts: tuple[str, ...]) -> None:
    """By a method, or by an option."""
    assert fingerprint(app, "grouped", ValueError(given)) == Fingerprint("hook", parts)
    assert fingerprint(app, "by_option", ValueError("x")).parts == ("custom=by_option", "custom=x")


@pytest.mark.parametrize("given", [None, "", (), "raise", 3, [3]])
def test_a_task_without_an_opinion(app: Celery, given: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Or one that cannot say it: as if it had none, and logged once."""
    fingerprinting._complained.clear()
    for _ in range(2):
        assert fingerprint(app, "grouped", ValueError(given)).step == "frame"
    complaints = [one for one in caplog.records if "fingerprint() of task grouped failed" in one.message]
    assert len(complaints) == (given in ("raise", 3, [3]))


def test_a_fault_of_ours_changes_nothing(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure travels without a fingerprint."""
    monkeypatch.setattr(fingerprinting, "facts_of", None)
    info = failed(app, "fail", ValueError("x"))
    assert attached_to(info) is None
    assert str(info.exception) == "x"


def test_a_file_that_does_not_work_is_told_at_install(rules: Path) -> None:
    """And the app is not half installed."""
    rules.write_text("[[rules]]\nkey = 3\n")
    app = Celery("grouping", broker="memory://", set_as_current=False)
    with pytest.raises(ConfigurationError, match=r"rules.toml: rule 1: key is a text"):
        install(app, Settings(grouping_file=rules))
    assert "fluxora" not in vars(app)


def test_the_option_is_checked(app: Celery) -> None:
    """When the task is declared."""
    with pytest.raises(ConfigurationError, match="fingerprint takes a function of the task and its exception"):
        app.task(name="wrong", shared=False, lazy=False, fingerprint="x")(fail)

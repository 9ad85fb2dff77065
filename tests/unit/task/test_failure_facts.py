"""What is read from an exception."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionWithTraceback, RemoteTraceback
from celery.utils.serialization import UnpickleableExceptionWrapper

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.grouping import FailureFacts, fingerprint_of
from fluxora_tasks.errors import CircuitBreakerError, TaskAborted
from fluxora_tasks.task.failure_facts import facts_of, status_of


def facts(error: BaseException, kind: Kind = Kind.EXCEPTION) -> FailureFacts:
    return facts_of(error, kind, task="shop.charge")


def root_raises() -> None:
    raise KeyError("root")


def caught(how: str) -> BaseException:
    """An error around another, raised in the way asked for."""
    try:
        try:
            root_raises()
        except KeyError as root:
            if how == "from":
                raise RuntimeError("outer") from root
            if how == "from none":
                raise RuntimeError("outer") from None
            raise RuntimeError("outer")  # noqa: B904 - the implicit way
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("how", "root", "function"),
    [
        ("from", "builtins.KeyError", "root_raises"),
        ("implicit", "builtins.KeyError", "root_raises"),
        ("from none", "builtins.RuntimeError", "caught"),
    ],
)
def test_the_root_cause(how: str, root: str, function: str) -> None:
    """Explicit, or implicit unless suppressed; with the frame where that was raised."""
    found = facts(caught(how))
    assert (found.types, found.frame) == ((root,), f"{__name__}:{function}")


def test_a_chain_ends_after_five() -> None:
    """Also one that leads back to its beginning."""
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert len(facts(first).errors) == 5


def test_a_group_is_the_types_of_its_leaves() -> None:
    """Sorted, each once, whatever led to the group."""
    group = ExceptionGroup("x", [OSError(1), KeyError(2), ExceptionGroup("y", [KeyError(3)])])
    group.__context__ = ValueError("before")
    found = facts(group)
    assert found.types == ("builtins.KeyError", "builtins.OSError")
    assert found.root is not None
    assert found.root.type == "builtins.ExceptionGroup"


def test_an_aborted_task_shows_what_ended_it() -> None:
    """In the child by its cause, in the main process by its name."""
    aborted = TaskAborted("builtins.SystemExit", "3")
    assert facts(aborted).types == ("builtins.SystemExit",)
    aborted.__cause__ = SystemExit(3)
    assert facts(aborted).types == ("builtins.SystemExit",)


def test_what_did_not_survive_pickle_keeps_its_name() -> None:
    """Celery wraps it; billiard hangs a traceback where causes are."""
    assert facts(UnpickleableExceptionWrapper("shop", "PayError", ())).types == ("shop.PayError",)
    function, arguments = ExceptionWithTraceback(ValueError("x"), "text").__reduce__()
    error = function(*arguments)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert facts(error).types == ("builtins.ValueError",)


def sqlite_error() -> BaseException:
    try:
        sqlite3.connect(":memory:").execute("select * from nothing")
    except sqlite3.Error as error:
        return error
    raise AssertionError


def with_attributes(**attributes: Any) -> BaseException:
    error = RuntimeError("x")
    error.__dict__.update(attributes)
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (with_attributes(status_code=503), "status=503"),
        (with_attributes(response=SimpleNamespace(status=404)), "status=404"),
        (with_attributes(code=429), "status=429"),  # urllib
        (with_attributes(response={"ResponseMetadata": {"HTTPStatusCode": 400}}), "status=400"),  # boto
        (with_attributes(response={"x": 1}), ""),
        (with_attributes(sqlstate="40001"), "sqlstate=40001"),
        (with_attributes(orig=with_attributes(pgcode="23505")), "sqlstate=23505"),  # SQLAlchemy over psycopg2
        (with_attributes(orig=sqlite_error()), "sqlite=SQLITE_ERROR"),
        (with_attributes(status=200), ""),
        (with_attributes(status=True, code="E17", sqlstate="secret"), ""),
        (ValueError("503"), ""),
    ],
)
def test_what_a_server_or_a_database_answered(error: BaseException, status: str) -> None:
    """Whatever library made the error."""
    assert status_of(error) == status


def test_an_error_whose_text_raises_is_survived() -> None:
    """It says so."""

    class Hostile(ValueError):
        def __str__(self) -> str:
            raise RuntimeError

    found = facts(Hostile())
    assert found.root is not None
    assert found.root.message == "<Hostile, whose text raised RuntimeError>"


def test_a_refusal_is_grouped_by_its_circuit() -> None:
    """Also behind another error."""
    error = ValueError("no weather")
    error.__cause__ = CircuitBreakerError("weather", "OPEN", 3.0)
    for one in (error, error.__cause__):
        assert fingerprint_of(facts(one, Kind.BREAKER_TIMEOUT)).parts == ("kind=breaker_timeout", "breaker=weather")

"""Logs of a worker without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from celery.app import trace

from fluxora_tasks.deadletter.redaction import NOT_SHOWN, USUAL, Redaction, Secrets
from fluxora_tasks.deadletter.secretpatterns import MARK
from fluxora_tasks.worker.quiet import hide_in_logs, speaking_of, stop_hiding


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.DEBUG, "celery.app.trace")
    hide_in_logs(USUAL)
    yield caplog
    stop_hiding()


def about(value: str) -> Any:
    return speaking_of(lambda: Secrets((value,)))


def test_celerys_line_about_a_failure(records: pytest.LogCaptureFixture) -> None:
    """Text, traceback and fields of the record; its template and its other fields stay."""
    context = {
        "id": "kanarie-id", "name": "t", "exc": "ValueError('kanarie')", "traceback": "ValueError: kanarie",
        "args": "('kanarie', 1)", "kwargs": "{}", "description": "raised unexpected", "internal": False,
    }  # fmt: skip
    try:
        raise ValueError("kanarie") from KeyError("kanarie")
    except ValueError:
        with about("kanarie"):
            trace.logger.error(trace.LOG_FAILURE, context, exc_info=sys.exc_info(), extra={"data": context})
    (record,) = records.records
    assert record.getMessage() == f"Task t[kanarie-id] raised unexpected: ValueError('{MARK}')"
    assert record.msg == trace.LOG_FAILURE
    assert record.data == record.args  # type: ignore[attr-defined]
    assert record.data["args"] == f"('{MARK}', 1)"  # type: ignore[attr-defined]
    shown = logging.Formatter().format(record)
    assert shown.count(MARK) == 5
    assert "kanarie'" not in shown
    assert 'raise ValueError("kanarie")' not in shown
    assert context["exc"] == "ValueError('kanarie')", "what the caller has is its own"


def test_objects_as_arguments_of_a_record(records: pytest.LogCaptureFixture) -> None:
    """The text is hidden once it is one."""
    with about("kanarie"):
        trace.logger.error("Task handler raised error: %r", ValueError("kanarie"))
    assert records.messages == [f"Task handler raised error: ValueError('{MARK}')"]


def test_a_record_without_secrets_stays_as_it_is(records: pytest.LogCaptureFixture) -> None:
    """Also its error, for handlers that want more than the text."""
    context = {"id": "i", "name": "t", "return_value": "3", "runtime": 0.1, "args": "(1,)"}
    error = ValueError("broken")
    trace.logger.info(trace.LOG_SUCCESS, context, extra={"data": context})
    trace.logger.error("failed: %s", error, exc_info=error)
    first, second = records.records
    assert first.args is context
    assert first.data is context  # type: ignore[attr-defined]
    assert second.args == (error,)
    assert second.exc_info is not None
    assert second.exc_info[1] is error


def test_what_cannot_be_redacted_is_not_shown(records: pytest.LogCaptureFixture) -> None:
    """Logging goes on."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

    trace.logger.error("failed: %s", Hostile())
    assert records.messages == [NOT_SHOWN]


def test_only_our_loggers_and_only_meanwhile() -> None:
    """Not those of tasks; a program that embeds a worker gets its logs back."""
    mine, tasks = logging.getLogger("fluxora_tasks.worker.request"), logging.getLogger("celery.task")
    before = list(mine.filters)
    hide_in_logs(USUAL)
    hide_in_logs(Redaction())
    assert len(mine.filters) == len(before) + 1
    assert tasks.filters == []
    assert logging.getLogger("mine").filters == []
    stop_hiding()
    assert mine.filters == before

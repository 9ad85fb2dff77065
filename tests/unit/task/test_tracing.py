"""Failures as they travel from a body to the worker."""

from __future__ import annotations

import json
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from billiard import einfo
from celery import Celery

from fluxora_tasks import RetryPolicy, Settings, install
from fluxora_tasks.task.tracing import copy_lean_code, trace_bodies


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("tracing", broker="memory://", backend="cache+memory://", set_as_current=False)
    install(app, Settings(journal=False))

    @app.task(name="broken", shared=False)
    def broken() -> None:
        json.loads("{")

    @app.task(name="down", shared=False, retry_policy=RetryPolicy(base_delay=1, jitter=False))
    def down() -> None:
        raise ConnectionError("not yet")

    copy_lean_code(True)
    trace_bodies(app, "here")
    yield app
    copy_lean_code(False)


def _failed(app: Celery, task: str, *args: Any) -> einfo.ExceptionInfo:
    request = {"id": "1", "task": task, "called_directly": False, "delivery_info": {}, "retries": 0, "lang": "py"}
    return app.tasks[task].__trace__("1", args, {}, request).retval


def test_the_traceback_begins_at_the_body(app: Celery) -> None:
    """Celery's tracer and our own call are not in it; the failure in a library is, with its carets."""
    text = _failed(app, "broken").traceback
    assert "trace_task" not in text
    assert "__call__" not in text
    assert text.splitlines()[1].endswith("in broken")
    assert text.endswith("json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: "
                         "line 1 column 2 (char 1)\n")  # fmt: skip


def test_wrong_arguments_leave_the_frame_that_called(app: Celery) -> None:
    """Where the body was not reached, the last frame stays."""
    info = _failed(app, "broken", "one too many")
    assert "takes 0 positional arguments but 1 was given" in info.traceback
    assert info.tb.tb_next is None


def test_a_retry_shows_the_failure_it_is_about(app: Celery) -> None:
    """One traceback, the body's, under the text of the retry."""
    text = _failed(app, "down").traceback
    assert text.count("Traceback") == 1
    assert text.splitlines()[1].endswith("in down")
    assert text.endswith("Retry in 1.0s: ConnectionError('not yet')\n")


def test_a_failure_is_small_to_send(app: Celery) -> None:
    """Positions of instructions stay behind; lines and names arrive."""
    info = _failed(app, "broken")
    sent = pickle.dumps(info)
    assert len(sent) < 4096

    received = pickle.loads(sent)
    assert received.traceback == info.traceback
    frames = traceback.extract_tb(received.tb)
    assert [frame.name for frame in frames] == ["broken", "loads", "decode", "raw_decode"]
    assert [frame.lineno for frame in frames] == [frame.lineno for frame in traceback.extract_tb(info.tb)]


def test_a_copy_in_the_same_process_has_its_positions(app: Celery) -> None:
    """The log of the child is written from the copy."""
    frames = traceback.extract_tb(_failed(app, "broken").tb)
    assert all(frame.colno is not None for frame in frames)


def test_other_copies_are_billiards_own_afterwards() -> None:
    """Nothing stays changed when the worker has stopped."""
    copy_lean_code(True)
    copy_lean_code(False)
    assert einfo._Frame.Code is einfo._Code

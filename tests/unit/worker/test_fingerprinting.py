"""Fingerprints of dead letters of every kind."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.exceptions import NotRegistered

from fluxora_tasks.deadletter.envelope import DEAD_LETTER_TYPE as TYPE
from fluxora_tasks.deadletter.envelope import DeadLetter, Kind, decode, encode
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping import Grouping
from fluxora_tasks.errors import CircuitBreakerError
from fluxora_tasks.task.tracing import LeanCode, copy_lean_code
from fluxora_tasks.worker import fingerprinting
from fluxora_tasks.worker.capture import Delivery, Reason, dead_letter, reason_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def captured(reason: Reason, grouping: Grouping | None = None, content_type: Any = "application/json") -> DeadLetter:
    message = SimpleNamespace(
        body=b"", headers={}, properties={}, delivery_info={}, content_type=content_type, content_encoding="utf-8"
    )
    delivery = Delivery(
        message, "run", "queue", "shop.charge", "id", "worker@host", release="1.2.3", grouping=grouping or Grouping()
    )
    return dead_letter(delivery, reason, NOW)


def fingerprint(reason: Reason, **options: Any) -> Fingerprint:
    found = captured(reason, **options).fingerprint
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        (Reason(Kind.WORKER_LOST, WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 3.")),
         "signal=SIGKILL"),
        (Reason(Kind.HARD_TIME_LIMIT, TimeLimitExceeded(3)), "task=shop.charge"),
        (Reason(Kind.BREAKER_TIMEOUT, CircuitBreakerError("api"), "given up"), "breaker=api"),
        (Reason(Kind.UNKNOWN_TASK, NotRegistered("shop.charge")), "task=shop.charge"),
        (Reason(Kind.UNDECODABLE, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")),
         "message=<quoted> codec can't decode byte <hex> in position <int>: invalid start byte"),
        (Reason(Kind.NOT_A_TASK, text="the message names no task"), "content=application/json"),
        (Reason(Kind.EXPIRED, text="task expired"), "queue=queue"),
    ],
)  # fmt: skip
def test_every_kind(reason: Reason, part: str) -> None:
    """By what is known in the main process; it survives its way to the ledger, as the release does."""
    letter = captured(reason)
    assert letter.fingerprint is not None
    assert letter.fingerprint.step == reason.kind
    assert part in letter.fingerprint.parts
    assert letter.release == "1.2.3"
    assert decode(TYPE, encode(letter)) == letter


def test_the_fingerprint_of_the_child_wins() -> None:
    """It knew more."""
    own = Fingerprint("hook", ("custom=x",))
    assert fingerprint(Reason(Kind.EXCEPTION, ValueError("x"), fingerprint=own)) is own


def test_the_copied_frames_of_an_error_count() -> None:
    """Where the child could not make a fingerprint, and the error lost its own frames."""
    copy_lean_code(True)
    try:
        raise TypeError("x")
    except TypeError:
        info = ExceptionInfo()
    finally:
        copy_lean_code(False)
    error = info.exception.exc
    error.__traceback__ = None
    assert isinstance(info.tb.tb_frame.f_code, LeanCode)
    found = fingerprint(reason_of(info, Kind.EXCEPTION))
    assert f"at={__name__}:test_the_copied_frames_of_an_error_count" in found.parts


def test_a_fault_in_grouping_keeps_the_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a fingerprint: the ledger makes one."""

    def fail(*given: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(fingerprinting, "fingerprint_of", fail)
    assert captured(Reason(Kind.NOT_A_TASK, text="x")).fingerprint is None


def test_a_content_type_may_be_anything() -> None:
    """As anybody may write anything into a message."""
    assert fingerprint(Reason(Kind.UNDECODABLE), content_type=["x"]).parts == ("kind=undecodable",)

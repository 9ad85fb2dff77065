"""From a message and its failure to a dead letter."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from billiard.einfo import ExceptionInfo

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.task.outcome import mark
from fluxora_tasks.worker.capture import Delivery, Reason, cut, dead_letter, payload_of, reason_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def message(**changes: Any) -> SimpleNamespace:
    facts: dict[str, Any] = {
        "body": b"[[], {}, {}]", "headers": {"id": "i", "task": "t"}, "properties": {}, "delivery_info": {},
        "content_type": "application/json", "content_encoding": "utf-8",
    }  # fmt: skip
    return SimpleNamespace(**{**facts, **changes})


def delivery(**changes: Any) -> Delivery:
    return Delivery(message(**changes), "run", "queue", "task", "id", "worker@host")


def raised(error: Exception) -> ExceptionInfo:
    try:
        raise error
    except Exception:
        return ExceptionInfo()


def test_the_verdict_of_the_child_decides_the_kind() -> None:
    """Left on the exception; without it the fallback."""
    error = ValueError("x")
    assert reason_of(raised(error), Kind.EXCEPTION).kind is Kind.EXCEPTION
    mark(error, Kind.DEADLINE, NOW)
    reason = reason_of(raised(error), Kind.EXCEPTION)
    assert (reason.kind, reason.first_failed_at) == (Kind.DEADLINE, NOW)


def test_an_error_whose_text_raises_is_survived() -> None:
    """The dying path never raises."""

    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    letter = dead_letter(delivery(), Reason(Kind.EXCEPTION, Hostile()), NOW)
    assert "whose text raised RuntimeError" in letter.message


def test_headers_of_the_wrong_type_are_survived() -> None:
    """Anybody may write anything into a message."""
    for headers in ({"fx_replay_no": "three", "retries": "many", "fx_dead_id": None}, {"retries": -5}):
        letter = dead_letter(delivery(headers=headers), Reason(Kind.EXCEPTION, text="x"), NOW)
        assert (letter.replay_no, letter.attempts) == (0, 1)
    assert dead_letter(delivery(headers=None), Reason(Kind.EXCEPTION), NOW).message_id == "id"


def test_sizes_are_bounded() -> None:
    """Head and tail of a long text are kept."""
    text = cut("a" * 100_000 + "end", 4096)
    assert len(text) <= 4096
    assert text.startswith("aaa")
    assert text.endswith("end")
    assert "characters cut" in text


def test_the_payload_is_what_was_received() -> None:
    """A text body is encoded back exactly; the compression header goes with the compression."""
    payload = payload_of(message(body="é\n", headers={"compression": "application/x-gzip", "k": 1}))
    assert payload.body == "é\n".encode()
    assert payload.headers == {"k": 1}


def test_one_record_per_message() -> None:
    """Two deliveries of one message have one dead id; a replay brings its own."""
    first = dead_letter(delivery(), Reason(Kind.EXCEPTION), NOW)
    second = dead_letter(delivery(), Reason(Kind.EXCEPTION), NOW)
    assert first.dead_id == second.dead_id
    replayed = delivery(headers={"fx_dead_id": "mine", "fx_replay_no": 2, "fx_message_id": "m"})
    letter = dead_letter(replayed, Reason(Kind.EXCEPTION), NOW)
    assert (letter.dead_id, letter.replay_no, letter.message_id) == ("mine", 2, "m")


def test_nothing_secret_leaves_the_worker_but_the_payload() -> None:
    """Message, traceback, view and fingerprint; also where the body is no JSON but was loaded by the worker."""
    body = b'[["eva", "s3cr3t-1"], {"password": "s3cr3t-2"}, {}]'
    error = ValueError("s3cr3t-1 and s3cr3t-2")
    one = replace(delivery(body=body, headers={"x-api-key": "s3cr3t-3"}), parameters=("user", "token"))
    letter = dead_letter(one, Reason(Kind.EXCEPTION, error, traceback="at s3cr3t-3\nand s3cr3t-1"), NOW)
    assert (letter.message, letter.traceback) == ("[redacted] and [redacted]", "at [redacted]\nand [redacted]")
    assert "s3cr3t" not in str((letter.view, letter.fingerprint))
    assert letter.payload.body == body

    loaded = [["eva", "s3cr3t-1"], {}, {}]
    pickled = replace(
        delivery(body=b"\x80", content_type="application/x-python-serialize", _decoded_cache=loaded),
        parameters=("user", "token"),
    )
    letter = dead_letter(pickled, Reason(Kind.EXCEPTION, error), NOW)
    assert letter.message == "[redacted] and s3cr3t-2"
    assert letter.view is not None
    assert letter.view.note == "1 bytes of application/x-python-serialize, not loaded"


def test_a_cut_leaves_no_half_of_a_secret() -> None:
    """What stands at the cut of a long text is left out."""
    body = b'[[], {"password": "%s"}, {}]' % (b"s3cr3t" * 20)
    for filler in range(8000, 8200, 11):
        text = "x" * filler + "s3cr3t" * 20 + "y" * 200_000
        letter = dead_letter(delivery(body=body), Reason(Kind.EXCEPTION, text=text), NOW)
        assert "s3cr3t" not in letter.message
        assert len(letter.message) <= 4096

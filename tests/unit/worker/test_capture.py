"""From a message and its failure to a dead letter."""

from __future__ import annotations

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

"""The envelope: byte for byte, whatever is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.deadletter.envelope import (
    CONFIRMATION_TYPE,
    DEAD_LETTER_TYPE,
    DEEPEST,
    Confirmation,
    DeadLetter,
    Kind,
    Payload,
    content_type_of,
    decode,
    encode,
    json_safe,
)
from fluxora_tasks.errors import EnvelopeUnreadable

AT = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


def letter(**changes: Any) -> DeadLetter:
    facts: dict[str, Any] = {
        "dead_id": "d", "failure_id": "f", "message_id": "m", "run_id": "r", "kind": Kind.EXCEPTION, "task": "t",
        "task_id": "i", "queue": "q", "failed_at": AT, "payload": Payload(b"[[], {}, {}]", "application/json", "utf-8"),
    }  # fmt: skip
    return DeadLetter(**{**facts, **changes})


@given(body=st.binary(), message=st.text(), headers=st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_what_goes_in_comes_out(body: bytes, message: str, headers: dict[str, Any]) -> None:
    """Any body, any text, any JSON-safe headers survive unchanged."""
    note = letter(payload=Payload(body, "x", "y", headers, {"priority": 3}), message=message, first_failed_at=AT)
    assert decode(content_type_of(note), encode(note)) == note


@given(text=st.text(alphabet=st.characters(exclude_categories=[])))
def test_lone_surrogates_do_not_stop_it(text: str) -> None:
    """Text of an exception may hold what UTF-8 cannot."""
    note = letter(message=text)
    assert decode(DEAD_LETTER_TYPE, encode(note)) == note


def test_a_confirmation_survives() -> None:
    """The note of a success."""
    note = Confirmation("d", 2, "r", AT, "w")
    assert content_type_of(note) == CONFIRMATION_TYPE
    assert decode(CONFIRMATION_TYPE, encode(note)) == note


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (DEAD_LETTER_TYPE, b""),
        (DEAD_LETTER_TYPE, b"\xff\xfe"),
        (DEAD_LETTER_TYPE, b"[]"),
        (DEAD_LETTER_TYPE, b'{"v": 1}'),
        (DEAD_LETTER_TYPE, b'{"v": 99}'),
        (DEAD_LETTER_TYPE, encode(letter())[:-5]),
        (DEAD_LETTER_TYPE, encode(letter()).replace(b'"exception"', b'"nonsense"')),
        (DEAD_LETTER_TYPE, encode(letter()).replace(b"+00:00", b"")),
        (CONFIRMATION_TYPE, encode(letter())),
        ("application/json", encode(letter())),
        (None, encode(letter())),
    ],
)
def test_what_is_not_ours_is_named(content_type: str | None, data: bytes) -> None:
    """Nothing but EnvelopeUnreadable leaves decode."""
    with pytest.raises(EnvelopeUnreadable):
        decode(content_type, data)


def test_headers_of_any_type_become_json() -> None:
    """AMQP tables carry bytes, dates and more; the shape stays."""
    assert json_safe({"b": b"\xff", "d": AT, 3: [(1, {"x": object})]}) == {
        "b": "\\xff",
        "d": AT.isoformat(),
        "3": [[1, {"x": str(object)}]],
    }


def test_headers_are_kept_to_a_depth() -> None:
    """Deeper ones, which would exhaust the stack, are cut there; the record says so."""
    deep: object = "core"
    for _ in range(5000):
        deep = [deep]
    kept = json_safe({"deep": deep})
    for _ in range(DEEPEST - 1):
        kept = kept["deep"] if isinstance(kept, dict) else kept[0]
    assert kept == ["[nested too deeply]"]

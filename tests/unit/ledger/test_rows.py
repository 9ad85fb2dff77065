"""Texts as a database can hold them, and notes that cannot be stored."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.ledger.rows import UnstorableNote, as_json, check_letter, entry_of, kept_columns, storable
from tests.letters import letter


@pytest.mark.parametrize(
    ("text", "limit", "stored"),
    [
        ("plain", 10, "plain"),
        ("plain", 3, "pla"),
        ("a\x00b", 10, "a\\x00b"),  # PostgreSQL holds no NUL
        ("\udce9", 10, "\\udce9"),  # UTF-8 holds no lone surrogate
        ("éé", 3, "é"),  # cut between characters, counted in bytes
        ("", 5, ""),
    ],
)
def test_storable(text: str, limit: int, stored: str) -> None:
    """A text is escaped and cut, never refused."""
    assert storable(text, limit) == stored


@given(st.text(st.characters(), max_size=50), st.integers(1, 60))
def test_every_text_becomes_storable(text: str, limit: int) -> None:
    """Whatever comes, the result is UTF-8 without NUL, within the limit."""
    data = storable(text, limit).encode("utf-8")

    assert len(data) <= limit
    assert b"\x00" not in data


def test_headers_lose_nothing() -> None:
    """NUL and lone surrogates survive in headers, as escapes of JSON."""
    headers = {"a": "x\x00y", "b": ["\udce9", {"c": None}], "d": 1.5}

    text = as_json(headers)

    assert text.isascii()
    assert "\x00" not in text
    assert json.loads(text) == headers


def test_headers_made_in_process_become_json() -> None:
    """Bytes, times and names that are no texts are shown as texts."""
    assert json.loads(as_json({1: b"\xff", "t": datetime(2000, 6, 5, tzinfo=UTC)})) == {
        "1": "\\xff",
        "t": "2000-06-05T00:00:00+00:00",
    }


def test_failures_are_ordered_by_replay_then_time() -> None:
    """The key sorts as text, whatever zone the time came in and however many digits it has."""
    east = timezone(timedelta(hours=2))
    whole_second = datetime(2000, 6, 5, 12, 0, 0, tzinfo=UTC)
    letters = [
        letter(run="a", failed_at=whole_second),
        letter(run="b", failed_at=(whole_second + timedelta(microseconds=1)).astimezone(east)),
        letter(run="c", failed_at=whole_second + timedelta(seconds=1)),
        letter(run="d", failed_at=whole_second - timedelta(days=1), replay_no=2),
        letter(run="e", failed_at=whole_second - timedelta(days=1), replay_no=10),
    ]
    keys = [entry_of(item).key for item in letters]

    assert keys == sorted(keys)


def test_what_is_shown_is_bounded() -> None:
    """A message has at most 4 KiB, a traceback 64 KiB; the body is never cut."""
    huge = letter(message="é" * 10_000, traceback="x" * 100_000, payload=Payload(b"\x00" * 200_000))
    entry = entry_of(huge)

    assert len(entry.texts["message"].encode()) <= 4096
    assert len(entry.texts["traceback"]) == 65_536
    assert kept_columns(entry)["body"] == b"\x00" * 200_000


@pytest.mark.parametrize(
    "changes",
    [
        {"dead_id": ""},
        {"dead_id": "x" * 65},
        {"dead_id": "a\x00b"},
        {"dead_id": 7},
        {"failure_id": None},
        {"replay_no": -1},
        {"replay_no": 2**31},
        {"replay_no": "1"},
        {"attempts": True},
        {"failed_at": datetime(2000, 6, 5)},  # noqa: DTZ001 - that is the point
        {"payload": Payload("text")},  # type: ignore[arg-type]
        {"payload": Payload(b"", headers=[1])},  # type: ignore[arg-type]
    ],
)
def test_a_note_that_cannot_be_stored_is_named(changes: dict[str, Any]) -> None:
    """A field of the wrong kind is an error of the note, not of the database."""
    with pytest.raises(UnstorableNote):
        check_letter(replace(letter(), **changes))


def test_headers_nested_too_deeply_are_named() -> None:
    """A header that would exhaust the stack is an error of the note."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnstorableNote):
        as_json({"deep": deep})

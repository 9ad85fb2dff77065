"""Text and documents that are safe to print."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.interfaces.cli.output import age, document, one_line, printable, time_text

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Küste, 電力", "Küste, 電力"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J", "\\x1b[2J"),  # clears the screen
        ("\x9b31m", "\\x9b31m"),  # the same family, as one C1 character
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),  # sets the window's title
        ("safe\rEVIL", "safe\\x0dEVIL"),  # overwrites the line
        ("\x00\x08\x7f\x85", "\\x00\\x08\\x7f\\x85"),
        ("\u202egnp.exe", "\\u202egnp.exe"),  # turns the direction of what follows
        ("\ud800", "\\ud800"),  # half of a pair: cannot be encoded
    ],
)
def test_control_characters_are_written_out(given: str, shown: str) -> None:
    """What a terminal would obey is shown instead; readable text, line breaks and tabs stay."""
    assert printable(given) == shown


@given(st.text())
def test_nothing_printed_moves_a_terminal(text: str) -> None:
    """No C0, C1 or lone surrogate survives, and the result can be encoded."""
    shown = printable(text)
    shown.encode()
    assert not [c for c in shown if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_a_document_reads_back_as_it_was(value: object) -> None:
    """Escaping a document for the terminal changes nothing for the program that reads it."""
    text = document(value)
    assert json.loads(text) == value
    assert printable(text) == text


def test_what_json_has_no_word_for_becomes_text() -> None:
    """Infinity, times and great depth make no document unreadable."""
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    read = json.loads(document({"load": float("nan"), "at": NOON, "deep": deep}))
    assert read["load"] == "nan"
    assert read["at"] == "2026-03-01T12:00:00.000000Z"
    assert "deeper" in str(read["deep"])


def test_one_line_is_one_line() -> None:
    """Breaks become blanks, and the end is cut with a mark."""
    assert one_line(" first\n\n  second\tthird ") == "first second third"
    assert one_line("abcdef", 4) == "abc…"


def test_times_are_utc() -> None:
    """A time of another zone is converted; none stays none."""
    assert time_text(NOON.astimezone(timezone(timedelta(hours=2)))) == "2026-03-01T12:00:00.000000Z"
    assert time_text(None) is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (0, "0s"), (59, "59s"), (60, "1m"), (3_599, "59m"), (7_200, "2h"), (90_000, "1d")],
)
def test_age_is_its_greatest_unit(seconds: int, shown: str) -> None:
    """A moment in the future, by a clock that is ahead, is now."""
    assert age(NOON - timedelta(seconds=seconds), NOON) == shown

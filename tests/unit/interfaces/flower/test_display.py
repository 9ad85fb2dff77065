"""How hostile values are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fluxora_tasks.interfaces.flower import display


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain\ttext\nwith lines", "plain\ttext\nwith lines"),
        ("Küste 電力 שלום", "Küste 電力 שלום"),  # letters of every direction stay letters
        ("abc\u202egpj.exe", "abc\\u202egpj.exe"),  # an override would turn the rest around
        ("\x00\x07\x1b[31m", "\\u0000\\u0007\\u001b[31m"),
        ("a\u200bb\ufeffc", "a\\u200bb\\ufeffc"),  # invisible
        ("\U000e0041", "\\ue0041"),  # a tag character, invisible too
        ("\ud800", "\\ud800"),  # cannot be sent as UTF-8
        ("windows\r\nline", "windows\nline"),
        ("\u200d", "\u200d"),  # joins letters of some scripts
        (17, "17"),
    ],
)
def test_tricky_characters_are_spelled_out(value: object, text: str) -> None:
    """What would change the look of the text around it is shown as its number."""
    assert display.shown(value) == text
    text.encode("utf-8")


def test_a_long_value_is_cut_with_a_note() -> None:
    """The reader learns how much is missing."""
    assert display.shown("x" * 1010, 10) == "xxxxxxxxxx… (1,000 more characters)"


@pytest.mark.parametrize(
    ("value", "text"),
    [("one\ntwo", "one…"), ("  one  ", "one"), ("x" * 200, "x" * 160 + "…"), ("", "")],
)
def test_brief_is_one_line(value: str, text: str) -> None:
    """A list shows the first line, cut."""
    assert display.brief(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["2000-06-05"], '["2000-06-05"]'),
        ({"k": "Küste"}, '{"k": "Küste"}'),
        (["x" * 80], '[\n  "' + "x" * 80 + '"\n]'),  # too long for one line
        ({"when": datetime(2026, 1, 1, tzinfo=UTC)}, '{"when": "2026-01-01 00:00:00+00:00"}'),
    ],
)
def test_arguments_are_shown_as_json(value: Any, text: str) -> None:
    """Short ones on one line, longer ones indented."""
    assert display.pretty(value) == text


def test_nesting_without_end_is_survived() -> None:
    """A body of a hundred thousand brackets must not break its page."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert "nested too deeply" in display.pretty(value)


def test_moments_are_utc() -> None:
    """Whatever zone the record carries."""
    berlin = timezone(timedelta(hours=2))
    assert display.moment(datetime(2026, 3, 1, 14, 0, 5, tzinfo=berlin)) == "2026-03-01 12:00:05"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("workers.demand.fetch_day", ["workers.", "demand.", "fetch_", "day"]),
        ("...x", ["...", "x"]),
        ("", []),
    ],
)
def test_a_dotted_name_breaks_at_its_joints(name: str, parts: list[str]) -> None:
    """Together the pieces are the name."""
    assert display.parts(name) == parts
    assert "".join(parts) == name


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (2048, "2.0 KiB"), (5 << 20, "5.0 MiB")])
def test_sizes_have_units(count: int, text: str) -> None:
    """Bytes, KiB, MiB."""
    assert display.size(count) == text

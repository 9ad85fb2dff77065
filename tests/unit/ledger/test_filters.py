"""The filter language: what it takes, and what it says about what it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.filters import FilterError, Term, parse


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("  ", []),
        ("status:PENDING", [Term("status", "PENDING")]),
        ("status:pending", [Term("status", "PENDING")]),  # closed lists have one spelling
        ("STATUS:FAILED", [Term("status", "FAILED")]),
        ("kind:broker_dlq", [Term("kind", "broker_dlq")]),
        ("task:demand.*", [Term("task", "demand.*", is_wild=True)]),
        ("id:3f2a*", [Term("id", "3f2a*")]),  # a beginning anyway, so a star is a star
        ("queue:a:b", [Term("queue", "a:b")]),
        ('queue:"two words"', [Term("queue", "two words")]),
        ('task:"a\\"b\\\\c"', [Term("task", 'a"b\\c')]),
        ("status:PENDING task:x", [Term("status", "PENDING"), Term("task", "x")]),
        ("status:PENDING AND task:x", [Term("status", "PENDING"), Term("task", "x")]),
        ("  task:x\n\tqueue:y ", [Term("task", "x"), Term("queue", "y")]),
        ("task:é", [Term("task", "é")]),
    ],
)
def test_terms(text: str, terms: list[Term]) -> None:
    """Terms are read in order, with quotes and spelling undone."""
    assert list(parse(text)) == terms


@pytest.mark.parametrize(
    ("text", "position", "hint"),
    [
        ("stat:PENDING", 1, "did you mean status?"),
        ("task:x  quue:y", 9, "did you mean queue?"),
        ("zzzz:1", 1, "known: status, kind, task, queue, exception, id"),
        ("status:PENDNG", 8, "did you mean PENDING?"),
        ("kind:expird", 6, "did you mean expired?"),
        ("hello", 1, "expected field:value"),
        ("task:x hello", 8, "expected field:value"),
        ("task:", 1, "needs a value"),
        ('task:""', 1, "needs a value"),
        ('task:"open', 1, "needs a value"),
        ('task:"a"b', 1, "needs a value"),
        ("task:x OR task:y", 8, "OR is not part"),
        ("NOT task:x", 1, "NOT is not part"),
        ("(task:x)", 1, "( is not part"),
        ("task:x)", 7, ") is not part"),
    ],
)
def test_what_is_wrong_and_where(text: str, position: int, hint: str) -> None:
    """An error names the place, counted from 1, and what may have been meant."""
    with pytest.raises(FilterError) as caught:
        parse(text)

    assert caught.value.position == position
    assert hint in str(caught.value)
    assert isinstance(caught.value, ConfigurationError)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No input raises anything else, and a refusal points into the text."""
    assert 0 <= _place_of_error(text) <= len(text)


def _place_of_error(text: str) -> int:
    try:
        parse(text)
    except FilterError as error:
        return error.position
    return 0

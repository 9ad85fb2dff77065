"""The page on filters names every field as the code does, and what it shows can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fluxora_tasks.ledger.filters import DEAD_LETTERS, Field, FilterError, Reads, parse

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "filters.md").read_text(encoding="utf-8")
_ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in _PAGE.partition("<!-- fields")[2].partition("<!-- /fields -->")[0].splitlines()
    if line.startswith("| `")
]
_SPANS = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _PAGE)
_EXAMPLES = [
    *(span for span in _SPANS if DEAD_LETTERS.field(re.split(r"[.:]", span)[0]) and re.search(r":[^:]", span)),
    *re.findall(r"--filter '([^']+)'", _PAGE),
    *re.findall(r"```text\n(.+)\n```", _PAGE),
]


def name_of(field: Field) -> str:
    return f"`{field.shown}`" + "".join(f" (`{alias}`)" for alias in field.aliases)


def test_every_field_has_its_row() -> None:
    """In the order of the code, with its other name."""
    assert [row[0] for row in _ROWS] == [name_of(field) for field in DEAD_LETTERS.fields]


@pytest.mark.parametrize("row", _ROWS, ids=[row[0] for row in _ROWS])
def test_choices_are_those_of_the_code(row: list[str]) -> None:
    """Those that are named; where no dots follow, all of them."""
    named = re.findall(r"`([^`]+)`", row[1])
    field = DEAD_LETTERS.field(re.split(r"[`.]", row[0])[1])
    assert field is not None
    assert set(named) <= set(field.choices)
    if field.reads is Reads.CHOICE and "…" not in row[1]:
        assert set(named) == set(field.choices)


@pytest.mark.parametrize("example", _EXAMPLES)
def test_what_is_shown_can_be_typed(example: str) -> None:
    """An outcome stands beside its operation."""
    parse(f"op:x {example}" if "outcome:" in example and "op:" not in example else example)


def test_there_are_examples() -> None:
    """Else nothing was tested."""
    assert len(_EXAMPLES) >= 15


def test_the_answer_to_a_wrong_filter_is_the_one_shown() -> None:
    """Word for word."""
    (shown,) = (span for span in _SPANS if span.startswith("filter, character"))
    with pytest.raises(FilterError) as caught:
        parse("taks:x")
    assert str(caught.value) == shown

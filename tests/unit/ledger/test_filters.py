"""The filter language: what it takes, and what it says about what it does not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.filters import (
    EVERYTHING,
    FIELDS,
    STORED,
    And,
    Filter,
    FilterError,
    Not,
    Operator,
    Or,
    Term,
    all_of,
    any_of,
    frozen,
    holds,
    mentions,
    parse,
)

A, B, C = Term("task", "a"), Term("task", "b"), Term("queue", "c")
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("status:PENDING", Term("status", "PENDING")),
        ("status:pending", Term("status", "PENDING")),  # closed lists have one spelling
        ("STATUS:FAILED", Term("status", "FAILED")),
        ("state:FAILED", Term("status", "FAILED")),
        ("exc:KeyError", Term("exception", "KeyError")),
        ("worker:w1@desk", Term("host", "w1@desk")),
        ("kind:broker_dlq", Term("kind", "broker_dlq")),
        ("task:demand.*", Term("task", "demand.*", is_wild=True)),
        ("exception:app.<locals>.Error", Term("exception", "app.<locals>.Error")),
        ("id:3f2a*", Term("id", "3f2a*")),  # a beginning anyway, so a star is a star
        ("queue:a:b", Term("queue", "a:b")),
        ("queue:a..b", Term("queue", "a..b")),
        ("queue:>a", Term("queue", ">a")),
        ('queue:"two words"', Term("queue", "two words")),
        ('queue:"a,b"', Term("queue", "a,b")),
        ('task:"a\\"b\\\\c"', Term("task", 'a"b\\c')),
        ("  task:é ", Term("task", "é")),
        ("attempts:3", Term("attempts", "3")),
        ("attempts:>007", Term("attempts", "7", operator=Operator.ABOVE)),
        ("replays:2..", Term("replays", "2", operator=Operator.FROM)),
        ("size:..5", Term("size", "5", operator=Operator.UP_TO)),
        ("age:>1h30m", Term("age", "5400s", operator=Operator.ABOVE)),
        ("age:<=2w", Term("age", "1209600s", operator=Operator.UP_TO)),
        ("failed:>=2026-11-01", Term("failed", "2026-11-01T00:00:00Z", operator=Operator.FROM)),
        ("failed:>2026-11-01", Term("failed", "2026-11-02T00:00:00Z", operator=Operator.FROM)),
        ("failed:<=2026-11-01", Term("failed", "2026-11-02T00:00:00Z", operator=Operator.BELOW)),
        ("first_failed:<2026-11-01T10:00+02:00", Term("first_failed", "2026-11-01T08:00:00Z", operator=Operator.BELOW)),
        ("body.customer:7", Term("body.kwargs.customer", "7")),
        ("body.args.0:7*", Term("body.args.0", "7*", is_wild=True)),
        ("header.x-tenant:acme", Term("header.x-tenant", "acme")),
        ("unconfirmed:TRUE", Term("unconfirmed", "true")),
    ],
)
def test_terms(text: str, term: Term) -> None:
    """A term is read with quotes and spelling undone."""
    assert parse(text) == term


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", EVERYTHING),
        ("  ", EVERYTHING),
        ("task:a queue:c", And((A, C))),
        ("task:a AND queue:c", And((A, C))),
        ("task:a\n\tand\tqueue:c", And((A, C))),
        ("task:a OR queue:c task:b", Or((A, And((C, B))))),
        ("(task:a OR queue:c) task:b", And((Or((A, C)), B))),
        ("NOT task:a queue:c", And((Not(A), C))),
        ("-task:a OR queue:c", Or((Not(A), C))),
        ("NOT (task:a queue:c)", Not(And((A, C)))),
        ("NOT NOT task:a", Not(Not(A))),
        ("((task:a))", A),
        ("task:a (queue:c task:b)", And((A, C, B))),
        ("task:a,b", Or((A, B))),
        ('task:a,"b"', Or((A, B))),
        ("-task:a,b", Not(Or((A, B)))),
        ("task:a OR task:b", Or((A, B))),
        (
            "replays:2..5",
            And((Term("replays", "2", operator=Operator.FROM), Term("replays", "5", operator=Operator.UP_TO))),
        ),
        (
            "failed:2026-11-01",
            And(
                (
                    Term("failed", "2026-11-01T00:00:00Z", operator=Operator.FROM),
                    Term("failed", "2026-11-02T00:00:00Z", operator=Operator.BELOW),
                )
            ),
        ),
    ],
)
def test_trees(text: str, tree: Filter) -> None:
    """NOT binds more than AND, AND more than OR; brackets decide."""
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "position", "hint"),
    [
        ("stat:PENDING", 1, "did you mean stat"),
        ("task:x  quue:y", 9, "did you mean queue?"),
        ("zzzz:1", 1, "known: status, state, kind, task"),
        ("status:PENDNG", 8, "did you mean PENDING?"),
        ("status:FAILED,PENDNG", 15, "did you mean PENDING?"),
        ("kind:expird", 6, "did you mean expired?"),
        ("hello", 1, "expected field:value"),
        ("task:x hello", 8, "expected field:value"),
        ("task:", 1, "needs a value"),
        ('task:""', 1, "needs a value"),
        ('task:"open', 1, "needs a value"),
        ('task:"a"b', 1, "needs a value"),
        ("task:a,", 1, "needs a value"),
        ("(task:x", 1, "nothing closes"),
        ("task:x)", 7, "no bracket"),
        ("()", 2, "expected field:value"),
        ("NOT", 1, "after NOT"),
        ("task:x OR", 8, "after OR"),
        ("task:x AND OR task:y", 12, "got OR"),
        ("OR task:x", 1, "got OR"),
        ("attempts:x", 10, "'x' is not a whole number"),
        ("attempts:1,-2", 12, "not a whole number"),
        ("attempts:9999999999999999999", 10, "not a whole number"),
        ("attempts:5..2", 10, "ends before it begins"),
        ("attempts:..", 10, "needs an end"),
        ("age:1h", 5, "needs a comparison"),
        ("age:>1y", 5, "not a duration"),
        ("age:>9999w", 5, "a hundred years"),
        ("failed:2026-02-30", 8, "not a time that exists"),
        ("failed:yesterday", 8, "not a time such as"),
        ("failed:>9999-12-31", 8, "too late"),
        ("failed:>0001-01-01T00:00:00+02:00", 8, "not a time that exists"),
        ("status.x:1", 1, "unknown field"),
        ("header:a", 1, "header.<name>"),
        ("body.a.:3", 1, "body.<path>"),
        ("body.args:3", 1, "body.args.0"),
        ("body.a.1.2.3.4:3", 1, "at most"),
        ("conflict:yes", 10, "known: false, true"),
        ("task:x outcome:done", 8, "write op:<id>"),
        ("op:a OR outcome:done", 9, "write op:<id>"),
        ("op:a op:b outcome:done", 11, "write op:<id>"),
        ("-op:a outcome:done", 7, "write op:<id>"),
        ("task:x " * 101, 701, "more than 100 terms"),
        ("task:" + ",".join("x" * 101), 1, "more than 100 terms"),
        ("(" * 21 + "task:x" + ")" * 21, 21, "more than 20 brackets"),
        ("task:" + "x" * 4000, 4000, "longer than 4,000 characters"),
    ],
)
def test_what_is_wrong_and_where(text: str, position: int, hint: str) -> None:
    """An error names the place, counted from 1, and what may have been meant."""
    with pytest.raises(FilterError) as caught:
        parse(text)

    assert caught.value.position == position
    assert hint in str(caught.value)
    assert isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize(
    "text", ["op:a outcome:done,skipped", "op:a -outcome:done", "op:a (outcome:done OR task:x outcome:skipped)"]
)
def test_outcomes_of_one_operation(text: str) -> None:
    """An outcome may stand wherever it is clear which operation is meant."""
    assert mentions(parse(text), "outcome")


_words = st.sampled_from(
    [
        *("AND", "OR", "NOT", "(", ")", "(", ")", " ", "-", ",", '"', "\\", "..", ":"),
        *("task:a", "queue:b,c", "attempts:2..5", "age:>1h", "failed:2026-11-01", 'text:"a b"', "status:", "x"),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(_words, max_size=25).map(" ".join), st.lists(_words).map("".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No input raises anything else, and a refusal points into the text."""
    assert 0 <= _place_of_error(text) <= len(text)


def _place_of_error(text: str) -> int:
    try:
        tree = parse(text)
    except FilterError as error:
        return error.position
    assert parse(str(tree), bounds=STORED) == tree
    return 0


_texts = st.text(min_size=1, max_size=12)
_signs = st.sampled_from(list(Operator))
_terms = st.one_of(
    st.builds(Term, st.sampled_from(["id", "text", "op", "body.kwargs.x", "header.a"]), _texts.filter("*".__ne__)),
    st.builds(lambda value: Term("task", value, is_wild="*" in value), _texts),
    st.builds(lambda value, sign: Term("attempts", str(value), operator=sign), st.integers(0, 10**17), _signs),
    st.builds(lambda value: Term("failed", value.isoformat() + "Z", operator=Operator.ABOVE), st.datetimes()),
).filter(lambda term: term.is_wild or "*" not in term.value or term.field in ("id", "text", "op"))
_trees = st.recursive(
    _terms,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=1, max_size=4).map(lambda parts: all_of(*parts)),
        st.lists(inner, min_size=1, max_size=4).map(lambda parts: any_of(*parts)),
    ),
    max_leaves=12,
)


@given(_trees)
def test_a_printed_filter_reads_back(tree: Filter) -> None:
    """What is printed means the same."""
    assert parse(str(tree), bounds=STORED) == tree


@given(_trees, st.sets(st.sampled_from(["task", "id", "text", "attempts"])))
def test_printing_keeps_what_holds(tree: Filter, fields: set[str]) -> None:
    """Precedence is the same written and read, whatever holds."""
    assert holds(tree, lambda term: term.field in fields) == holds(
        parse(str(tree), bounds=STORED), lambda term: term.field in fields
    )


def test_a_frozen_filter_means_the_same_tomorrow() -> None:
    """Ages become times of failure, and can be printed."""
    tree = frozen(parse("task:a (age:>1h OR NOT age:1d..2d)"), NOON)

    assert str(tree) == (
        "task:a (failed:<2026-11-02T11:00:00Z OR NOT (failed:<=2026-11-01T12:00:00Z failed:>=2026-10-31T12:00:00Z))"
    )
    assert parse(str(tree)) == tree
    assert not mentions(tree, "age")


def test_the_longest_filter_can_be_stored() -> None:
    """However a typed filter grows when it is frozen and printed, it reads back."""
    tree = frozen(parse("age:1h..2h " * 50, bounds=STORED), NOON.replace(microsecond=1))

    assert parse(str(tree), bounds=STORED) == tree


def test_fields_have_help() -> None:
    """Help shows what stands behind a name with a path."""
    assert {"status", "header.<name>", "body.<path>"} <= set(FIELDS)

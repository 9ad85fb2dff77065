"""Lists, pages and single records."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.filters import EVERYTHING, parse
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.letters import letter

pytestmark = pytest.mark.integration

SIX = [
    letter("m0", at=0, task="demand.ingest", queue="demand", exception_type="builtins.ValueError"),
    letter("m1", at=1, task="demand.Ingest", queue="demand", exception_type="app.errors.ValueError"),
    letter("m2", at=2, task="demand.forecast", queue="slow [1]", exception_type="builtins.MyValueError"),
    letter("m3", at=3, task="100%_sure", queue="slow", exception_type="", kind=Kind.EXPIRED),
    letter("m4", at=4, task="100_sure*", queue="a*b", exception_type="KeyError"),
    letter("m5", at=5, task="", queue="demand", kind=Kind.POISON_SUSPECT, exception_type=""),
]


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ("", "543210"),
        ("status:PENDING", "43210"),
        ("status:FAILED", "5"),
        ("kind:expired", "3"),
        ("task:demand.ingest", "0"),  # case counts
        ("task:demand.*", "210"),
        ("task:*INGEST", ""),
        ("task:*ngest", "10"),
        ("task:100%_*", "3"),  # signs of LIKE and GLOB are ordinary characters
        ("task:100_sure*", "4"),
        ("task:*", "543210"),
        ('queue:"slow [1]"', "2"),
        ("queue:slow*", "32"),
        ("queue:a?b", ""),
        ("exception:ValueError", "10"),  # the name alone, whatever module it is from
        ("exception:builtins.ValueError", "0"),
        ("exception:*ValueError", "210"),
        ("exception:KeyError", "4"),
        ("status:PENDING queue:demand", "10"),
        ("status:PENDING status:FAILED", ""),  # both cannot hold
        ("task:nothing", ""),
    ],
)
def test_filters(ledger: Ledger, filter_text: str, found: str) -> None:
    """Terms narrow the list, newest failure first, and the total counts what matches."""
    ledger.ingest(SIX)

    page = ledger.find(parse(filter_text))

    assert "".join(item.task_id[1] for item in page.letters) == found
    assert page.total == len(found)


def test_an_id_is_found_by_its_beginning(ledger: Ledger) -> None:
    """A beginning finds all that share it, a whole id itself, a star nothing."""
    notes = [letter(f"m{number}", dead_id=f"abcd-{number}") for number in (1, 12)]
    ledger.ingest(notes)

    assert ledger.ids_starting_with("abcd-1") == ["abcd-1"]
    assert ledger.ids_starting_with("abcd-12") == ["abcd-12"]
    assert ledger.ids_starting_with("abcd") == ["abcd-1", "abcd-12"]
    assert ledger.ids_starting_with("ABCD") == []
    assert ledger.ids_starting_with("*") == []
    assert ledger.find(parse("id:abcd")).total == 2
    assert ledger.find(parse("id:abc*")).total == 0


def test_pages_cover_everything_once(ledger: Ledger) -> None:
    """Following the cursors gives every record once, also where many failed at the same moment."""
    notes = [letter(f"m{number}", at=number // 4) for number in range(23)]
    ledger.ingest(notes)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = ledger.find(limit=5, cursor=cursor)
        seen += [item.id for item in page.letters]
        assert page.total == 23
        cursor = page.next
        if cursor is None:
            break

    assert sorted(seen) == sorted(note.dead_id for note in notes)
    times = {note.dead_id: note.failed_at for note in notes}
    assert [times[dead_id] for dead_id in seen] == sorted(times.values(), reverse=True)


def test_a_page_is_not_moved_by_new_failures(ledger: Ledger) -> None:
    """What arrives between two pages shifts no row into or out of the second."""
    ledger.ingest([letter(f"m{number}", at=number) for number in range(4)])
    first = ledger.find(limit=2)
    ledger.ingest([letter("new", at=99)])

    second = ledger.find(limit=2, cursor=first.next)

    assert [item.task_id for item in (*first.letters, *second.letters)] == ["m3", "m2", "m1", "m0"]


#: Cursors that are none of ours.
FOREIGN = [
    *("", "x", "AAAA", "é", "WyJ4IiwgMV0", "W10", "bnVsbA", "WyIyMDAwLTA2LTA1IiwgIngiXQ"),
    # of the right form, with what no database can compare
    *(
        base64.urlsafe_b64encode(place.encode()).decode()
        for place in (
            '["2000-06-05T12:00:00+00:00", "\\u0000"]',
            '["2000-06-05T12:00:00+00:00", "\\ud800"]',
            '["2000-06-05T12:00:00+00:00", 7]',
            '["0001-01-01T00:00:00+14:00", "a"]',
            '["9999-12-31T23:59:59-14:00", "a"]',
            '["2000-06-05T12:00:00", "a"]',
            '{"2000-06-05T12:00:00+00:00": 1}',
            "[" * 100_000,
        )
    ),
]


def test_a_foreign_cursor_is_refused(ledger: Ledger) -> None:
    """A cursor that is none of ours is an error that says so."""
    for cursor in FOREIGN:
        with pytest.raises(ConfigurationError, match="not a cursor"):
            ledger.find(cursor=cursor)


def test_a_selection_leaves_out_what_must_be_named(ledger: Ledger) -> None:
    """A selection is oldest first and without a status means what is pending."""
    ledger.ingest(SIX)
    ids = [note.dead_id for note in SIX]

    assert ledger.select(EVERYTHING, limit=10) == ids[:5]
    assert ledger.select(EVERYTHING, limit=2) == ids[:2]
    assert ledger.select(parse("status:FAILED"), limit=10) == ids[5:]


def test_counts(ledger: Ledger) -> None:
    """Every status is counted, also at nothing."""
    ledger.ingest(SIX)
    ledger.resolve([SIX[0].dead_id], Actor("ada", "done"))

    assert ledger.status_counts() == {"PENDING": 4, "RETRYING": 0, "RESOLVED": 1, "FAILED": 1, "DISCARDED": 0}


def test_messages_are_known_by_their_ids(ledger: Ledger) -> None:
    """Message ids that a record stands for are found among any number."""
    ledger.ingest(SIX)

    assert ledger.known_messages(f"m{number}" for number in range(2000)) == {f"m{n}" for n in range(6)}
    assert ledger.existing(["nobody", SIX[0].dead_id]) == {SIX[0].dead_id}


def test_nobody_has_no_story(ledger: Ledger) -> None:
    """An unknown id has none."""
    assert ledger.story("nobody") is None


@pytest.mark.parametrize("filter_text", ["", "status:PENDING", "task:demand.ingest"])
def test_pages_follow_an_index(ledger: Ledger, engine: Engine, filter_text: str) -> None:
    """A page of a large list is read along an index, never sorted."""
    ledger.ingest([letter(f"m{number}", at=number) for number in range(2000)])
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))

    plan = _plan(engine, ledger, filter_text)

    assert "ix_dead_letters" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def _plan(engine: Engine, ledger: Ledger, filter_text: str) -> str:
    """How the database reads the second page."""
    ran: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        ran.append((statement, parameters))

    first = ledger.find(parse(filter_text), limit=50)
    event.listen(engine, "before_cursor_execute", note)
    ledger.find(parse(filter_text), limit=50, cursor=first.next)
    event.remove(engine, "before_cursor_execute", note)
    statement, parameters = next(item for item in ran if "ORDER BY" in item[0])
    prefix = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        result = connection.exec_driver_sql(prefix + statement, parameters)
        return "\n".join(str(row) for row in result)

"""What each field of a filter finds, on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, update

from fluxora_tasks.deadletter.envelope import DeadLetter, Kind
from fluxora_tasks.ledger import leading
from fluxora_tasks.ledger.database import writing
from fluxora_tasks.ledger.filters import Term, parse
from fluxora_tasks.ledger.models import (
    DeadLetterRow,
    DeadLetterViewRow,
    OperationItemRow,
    OperationRow,
    ReplayItemRow,
)
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.records import Actor
from tests.letters import letter, moment

pytestmark = pytest.mark.integration

LETTERS = [
    letter("m0", at=0, task="shop.charge", queue="shop", attempts=4, worker="w1@a"),
    letter("m1", at=100, task="shop.refund", queue="shop", attempts=9, worker="w2@a"),
    letter("m2", at=200, task="mail.send", queue="mail", exception_type="app.KeyError", worker="w1@b"),
    letter("m3", at=300, task="mail.send", queue="mail", kind=Kind.EXPIRED, exception_type=""),
]
IDS = [note.dead_id for note in LETTERS]

VIEWS = [
    {
        "args": ["first", {"sku": "A-1", "0": "zero"}],
        "kwargs": {"customer": "C-10", "amount": 12.5, "paid": True, "none": None, "lines": [{"sku": "x"}, "y"]},
        "headers": {"tenant": "acme", "x-trace": "7"},
    },
    {"args": [1], "kwargs": {"customer": 10, "amount": 1e22, "paid": False}, "headers": {"tenant": "Acme"}},
    {"args": [], "kwargs": {"customer": "*[é]%_'\"\\", "lines": {"0": {"sku": "x"}}}, "headers": {}},
    None,
]
TEXTS = [
    "connection refused by db1.example.org first A-1 zero C-10 12.5 x y acme 7",
    "Refused: the connection (no route) 1 10 1e+22 Acme",
    "no such_key in 'order' *[é]%_'\"\\ x \\x00 \\ud800",
    "Ärger mit dem Zug",
]


@pytest.fixture
def filled(ledger: Ledger, engine: Engine) -> Ledger:
    """Four records: replayed, released, grouped, in an operation."""
    ledger.ingest(LETTERS)
    ledger.claim([IDS[0], IDS[1]], Actor("ada", "again"))
    with writing(engine) as connection:
        connection.execute(delete(DeadLetterViewRow))
        views = [json.dumps(view) if view else None for view in VIEWS]
        for dead_id, view, words in zip(IDS, views, TEXTS, strict=True):
            connection.execute(insert(DeadLetterViewRow).values(dead_letter_id=dead_id, view=view, search_text=words))
        first = DeadLetterRow.id == IDS[0]
        connection.execute(update(DeadLetterRow).values(group_id=None))
        connection.execute(update(DeadLetterRow).where(first).values(group_id="abcdef", release="1.2", conflict=True))
        connection.execute(
            update(ReplayItemRow)
            .where(ReplayItemRow.dead_letter_id == IDS[1])
            .values(state="issued", unconfirmed_at=moment(1))
        )
        for name in ("op1", "op2"):
            connection.execute(insert(OperationRow).values(**_operation(name)))
        for name, place, outcome in [("op1", 0, "done"), ("op1", 1, "failed_again"), ("op2", 0, "failed_again")]:
            connection.execute(insert(OperationItemRow).values(**_item(name, place, outcome)))
    return ledger


def _operation(name: str) -> dict[str, Any]:
    texts = ("kind", "state", "selector", "plan", "pace", "progress", "actor", "source", "reason", "detail", "hold")
    numbers = ("version", "planned", "total", "issued", "known", "succeeded", "failed", "skipped")
    times = ("cutoff_at", "planned_at", "expires_at", "state_at")
    return {
        "id": name,
        "listed_all": True,
        **dict.fromkeys((*texts, "held_by", "listed_key"), ""),
        **dict.fromkeys(numbers, 0),
        **dict.fromkeys(times, moment(0)),
    }


def _item(name: str, place: int, outcome: str) -> dict[str, Any]:
    fixed = {"why": "", "changed_at": moment(0), "detail": ""}
    return {"operation_id": name, "seq": place, "dead_letter_id": IDS[place], "outcome": outcome, **fixed}


def found(ledger: Ledger, text: str) -> str:
    """Numbers of the records, the first first; the total agrees."""
    page = ledger.find(parse(text))
    assert page.total == len(page.letters)
    return "".join(sorted(item.task_id[1] for item in page.letters))


CASES = [
    ("", "0123"),
    ("task:shop.* OR queue:mail", "0123"),
    ("task:shop.charge,mail.send kind:expired", "3"),
    ("-task:mail.send", "01"),
    ("NOT (task:mail.send OR attempts:>4)", "0"),
    ("task:shop.* -attempts:9 OR kind:expired", "03"),
    ("attempts:9", "1"),
    ("attempts:>=4 attempts:<9", "023"),
    ("attempts:5..10", "1"),
    ("replays:>0", "01"),
    ("replays:0", "23"),
    ("failures:>1", ""),
    ("failures:1", "0123"),
    ("size:>1", "0123"),
    ("size:>999999999999999999", ""),
    ("age:>15m", "0"),
    ("age:<=800s", "23"),
    ("-age:<=800s", "01"),
    ("failed:>=2000-06-05T12:03:20", "23"),
    ("failed:2000-06-05", "0123"),
    ("failed:<2000-06-05", ""),
    ("first_failed:2000-06-05..2000-06-05T12:02:00Z", "01"),
    ("host:w1@*", "023"),
    ("worker:w2@a", "1"),
    ("release:1.2", "0"),
    ("release:1.*", "0"),
    ("-release:1.2", "123"),
    ("group:abcdef", "0"),
    ("group:abc*", "0"),
    ("-group:abcdef", "123"),
    ("message_id:m2", "2"),
    ("task_id:m*", "0123"),
    ("conflict:true", "0"),
    ("conflict:false", "123"),
    ("unconfirmed:true", "1"),
    ("-unconfirmed:true", "023"),
    ("unconfirmed:false", "023"),
    ("exc:KeyError", "2"),
    ("op:op1", "01"),
    ("op:op1 op:op2", "0"),
    ("op:op1 outcome:done", "0"),
    ("op:op1 outcome:failed_again", "1"),  # not 0, which failed again in another operation
    ("op:op1 outcome:done,failed_again", "01"),
    ("op:op1 -outcome:done", "1"),
    ("op:op1 (outcome:done task:nothing OR outcome:failed_again)", "1"),
    ("NOT (op:op1 outcome:done)", "123"),
    ("op:nothing", ""),
    ("header.tenant:acme", "0"),
    ("header.tenant:*cme", "01"),
    ("-header.tenant:acme", "123"),
    ("header.x-trace:7", "0"),
    ("body.customer:C-10", "0"),
    ("body.kwargs.customer:10", "1"),
    ("body.amount:12.5", "0"),
    ("body.amount:1e+22", "1"),
    ("body.paid:true", "0"),
    ("body.paid:false", "1"),
    ("body.paid:1", ""),
    ("body.none:null", ""),
    ("body.args.0:first", "0"),
    ("body.args.0:1", "1"),
    ("body.args.1.sku:A-1", "0"),
    ("body.args.1.0:zero", "0"),
    ("body.lines.0.sku:x", "02"),
    ("body.lines.1:y", "0"),
    ('body.customer:"*[é]%_\'\\"\\\\"', "2"),
    ('text:"connection refused"', "0"),
    ("text:CONNECTION", "01"),
    ("text:refu*", "01"),
    ('text:"connection refu*"', "0"),
    ("text:refu", ""),
    ('text:"db1 example"', "0"),
    ("text:db1.example.org", "0"),
    ("text:such_key", "2"),
    ('text:"refused connection"', ""),
    ("text:refused text:route", "1"),
    ("-text:refused", "23"),
    ("text:route OR text:Zug", "13"),
    ("text:Ärger", "3"),
    ("text:x00", "2"),
    ("text:!!!", ""),
    ("-text:!!!", "0123"),
    ('text:"connection" body.customer:C-10', "0"),
]


@pytest.mark.parametrize("few", [leading.FEW, 0], ids=["led", "walked"])
def test_fields(filled: Ledger, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field finds what it says, whether its candidates lead or the list is walked."""
    monkeypatch.setattr(leading, "FEW", few)

    assert {text: found(filled, text) for text, _ in CASES} == dict(CASES)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.text(st.characters(), min_size=1, max_size=30), st.sampled_from(["text", "body.kwargs.customer", "id", "op"]))
@example("\x00", "text")
@example('a"b\x00 OR c*', "text")
@example("\ud800", "text")
@example("'; DROP TABLE x --", "text")
@example("x:* & | ! <-> \\'", "text")
@example("NEAR(a b)", "text")
@example("x" * 3000, "text")
def test_any_text_is_searched(filled: Ledger, value: str, field: str) -> None:
    """Nothing that is typed means anything to the database."""
    assert filled.find(Term(field, value)).total <= 4


def test_what_is_not_among_the_words_is_found(filled: Ledger, engine: Engine) -> None:
    """An argument behind the end of the searched text still matches."""
    with writing(engine) as connection:
        of_first = DeadLetterViewRow.dead_letter_id == IDS[0]
        connection.execute(update(DeadLetterViewRow).where(of_first).values(search_text="é" * 2047))
        of_second = DeadLetterViewRow.dead_letter_id == IDS[1]
        connection.execute(update(DeadLetterViewRow).where(of_second).values(search_text="1 " * 500))

    assert found(filled, "body.customer:C-10") == "0"
    assert found(filled, "body.customer:10") == "1"
    assert found(filled, "text:C-10") == ""


def test_words_follow_their_record(filled: Ledger, engine: Engine) -> None:
    """Changed words are found anew; those of a deleted record are gone."""
    with writing(engine) as connection:
        of_first = DeadLetterViewRow.dead_letter_id == IDS[0]
        connection.execute(update(DeadLetterViewRow).where(of_first).values(search_text="entirely new"))
        connection.execute(delete(DeadLetterRow).where(DeadLetterRow.id == IDS[1]))

    assert found(filled, 'text:"entirely new"') == "0"
    assert found(filled, "text:connection") == ""


def test_a_total_stops_early(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take long to count is counted up to a bound; all records, and those of a status, to the end."""
    for name, value in (("MOST_COUNTED", 5), ("MOST_WALKED", 10), ("FEW", 0)):
        monkeypatch.setattr(leading, name, value)
    notes: list[DeadLetter] = [letter(f"m{n}", at=n, attempts=1 + n % 2, task=f"t{n % 3 % 2}") for n in range(30)]
    ledger.ingest(notes)

    assert _total(ledger, "") == (30, True)
    assert _total(ledger, "status:PENDING") == (30, True)
    assert _total(ledger, "task:t0") == (5, False)
    assert _total(ledger, "attempts:1") == (5, False)
    assert _total(ledger, "task:t1 attempts:1 failed:>=2000-06-05") == (5, True)


def _total(ledger: Ledger, text: str) -> tuple[int, bool]:
    page = ledger.find(parse(text), limit=2)
    return page.total, page.total_is_exact

"""Sorting what has not ended."""

from __future__ import annotations

import pytest

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.journal import JournalCounts, OpenEntry
from fluxora_tasks.operations.audit import AuditReport, confirmed, reconcile, run_audit
from fluxora_tasks.operations.holdings import Holdings

COUNTS = JournalCounts(sent=5, succeeded=2)


def entry(name: str, age: float = 60.0) -> OpenEntry:
    return OpenEntry(name, "task", age)


def names(report: AuditReport) -> tuple[list[str], list[str], int]:
    return [e.message_id for e in report.lost], [e.message_id for e in report.undecided], report.in_flight


@pytest.mark.parametrize(
    ("entries", "holdings", "expected"),
    [
        ([], Holdings(frozenset()), ([], [], 0)),
        # Redis shows its messages: what is not there is lost
        ([entry("a"), entry("b")], Holdings(frozenset({"a"}), queued=1), (["b"], [], 1)),
        # sent a moment ago: may be between two places
        ([entry("a", 0.1)], Holdings(frozenset()), ([], [], 1)),
        # RabbitMQ shows a number: nothing anywhere means lost
        ([entry("a")], Holdings(None), (["a"], [], 0)),
        # something somewhere means nobody can tell yet
        ([entry("a")], Holdings(None, queued=1), ([], ["a"], 0)),
        ([entry("a")], Holdings(None, held=1), ([], ["a"], 0)),
    ],
)
def test_reconcile(entries: list[OpenEntry], holdings: Holdings, expected: object) -> None:
    """In flight, lost, or undecided."""
    assert names(reconcile(COUNTS, entries, holdings, {})) == expected


@pytest.mark.parametrize(("recorded", "parked", "absent"), [(3, 0, 0), (1, 0, 2), (1, 1, 1), (0, 0, 3), (9, 0, 0)])
def test_records_the_ledger_does_not_have(recorded: int, parked: int, absent: int) -> None:
    """The journal has closed three as recorded; the ledger may have more, of messages that nobody noted."""
    counts = JournalCounts(sent=5, succeeded=2, dead_lettered=3)
    assert reconcile(counts, [], Holdings(frozenset()), {"PENDING": recorded}, parked=parked).absent == absent


def test_only_what_two_looks_miss_is_lost() -> None:
    """A message seen by the second look was moving, not lost."""
    looks = iter(
        [
            reconcile(COUNTS, [entry("a"), entry("b")], Holdings(frozenset()), {}),
            reconcile(COUNTS, [entry("b"), entry("c")], Holdings(frozenset()), {}),
        ]
    )
    assert names(confirmed(lambda: next(looks))) == (["b"], [], 1)


def test_without_a_journal_it_says_what_to_set() -> None:
    """One line."""
    with pytest.raises(ConfigurationError, match="FLUXORA_REDIS_URL"):
        run_audit(None, None, None, "q")  # type: ignore[arg-type]

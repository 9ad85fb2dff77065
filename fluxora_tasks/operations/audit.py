"""The audit: what was sent, against what succeeded and what stands in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from fluxora_tasks.errors import BrokerUnavailable, ConfigurationError
from fluxora_tasks.journal import Journal, JournalCounts, OpenEntry
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.holdings import Holdings, holdings_of

#: Seconds a message may be between two places (sent but not at the broker yet) before its absence means something.
GRACE = 2.0

_NONE: list[OpenEntry] = []


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Every message sent, by what became of it.

    Attributes:
        sent: Messages published.
        succeeded: Ran to success.
        ignored: Ended on the task's own word (``Ignore``), or opted out of being kept.
        unsent: The publish raised at the sender.
        recorded: Messages in the ledger, by status.
        absent: Recorded once, but not in this ledger: it is another one, or was emptied, or restored from a backup.
        in_flight: At the broker, in a worker, or sent a moment ago.
        lost: Neither succeeded, nor recorded, nor on their way, each by name.
        undecided: The broker does not show its messages and still has some, so these may be among them.
        retried: Retries scheduled.
        gaps: Sends that could not be noted, because the store was away: the report cannot speak for them.
        duplicates_dropped: Second copies of replays that no worker ran, and copies of replays declared lost.
    """

    sent: int
    succeeded: int
    ignored: int
    unsent: int
    recorded: Mapping[str, int]
    absent: int
    in_flight: int
    lost: Sequence[OpenEntry]
    undecided: Sequence[OpenEntry]
    retried: int
    gaps: int
    duplicates_dropped: int = 0


def reconcile(
    counts: JournalCounts,
    unrecorded: Sequence[OpenEntry],
    holdings: Holdings,
    recorded: Mapping[str, int],
    *,
    parked: int = 0,
) -> AuditReport:
    """
    Sort the messages that have not ended (pure).

    Args:
        counts: The journal's figures.
        unrecorded: Messages that are open in the journal and do not stand in the ledger.
        holdings: What is on its way.
        recorded: The ledger's figures by status.
        parked: Notes the ledger keeps without being able to read them.
    """
    young = [entry for entry in unrecorded if entry.age < GRACE]
    old = [entry for entry in unrecorded if entry.age >= GRACE]
    visible = holdings.message_ids
    if visible is not None:
        lost, undecided = [entry for entry in old if entry.message_id not in visible], _NONE
    elif holdings.nothing:
        lost, undecided = old, _NONE
    else:
        lost, undecided = _NONE, old
    return AuditReport(
        sent=counts.sent,
        succeeded=counts.succeeded,
        ignored=counts.ignored,
        unsent=counts.unsent,
        recorded=recorded,
        # the ledger may hold more than the journal knows of, never less
        absent=max(0, counts.dead_lettered - sum(recorded.values()) - parked),
        in_flight=len(young) + len(old) - len(lost) - len(undecided),
        lost=tuple(lost),
        undecided=tuple(undecided),
        retried=counts.retried,
        gaps=counts.gaps,
        duplicates_dropped=counts.duplicates_dropped,
    )


def run_audit(app: Celery, journal: Journal | None, ledger: Ledger, dead_letter_queue: str) -> AuditReport:
    """
    Count every message.

    The places are read one after the other while messages move between them, so whatever looks lost is looked for
    once more before it is called so.

    Raises:
        ConfigurationError: there is no journal to count by.
        StoreUnavailable, LedgerUnavailable, BrokerUnavailable: a part does not answer.
    """
    if journal is None:
        raise ConfigurationError("the audit counts by the journal: set FLUXORA_REDIS_URL, and FLUXORA_JOURNAL to true")

    def look() -> AuditReport:
        holdings = _holdings(app, dead_letter_queue)
        entries = list(journal.open_entries())
        recorded_ids = ledger.known_messages([entry.message_id for entry in entries])
        unrecorded = [entry for entry in entries if entry.message_id not in recorded_ids]
        counts = journal.counts()  # before the ledger's, which only grow
        parked = ledger.failed_import_count()
        return reconcile(counts, unrecorded, holdings, ledger.status_counts(), parked=parked)

    return confirmed(look)


def confirmed(look: Callable[[], AuditReport]) -> AuditReport:
    """The report; where it names lost messages, only those that a second look names too."""
    first = look()
    if not first.lost:
        return first
    second = look()
    still: Collection[Any] = {entry.message_id for entry in first.lost}
    return _with_lost(second, [entry for entry in second.lost if entry.message_id in still])


def _with_lost(report: AuditReport, lost: Sequence[OpenEntry]) -> AuditReport:
    return replace(report, lost=tuple(lost), in_flight=report.in_flight + len(report.lost) - len(lost))


def _holdings(app: Celery, dead_letter_queue: str) -> Holdings:
    with app.connection_for_read() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=5)
            return holdings_of(app, connection, dead_letter_queue)
        except (OperationalError, *connection.connection_errors, *connection.channel_errors) as exc:
            raise BrokerUnavailable(f"the broker at {connection.as_uri()} does not answer: {exc}") from exc

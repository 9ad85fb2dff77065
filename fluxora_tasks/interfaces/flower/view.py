"""What the pages show, prepared off the loop and free of HTML (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from fluxora_tasks.interfaces.flower import display
from fluxora_tasks.ledger.filters import Term, all_of, parse
from fluxora_tasks.ledger.standing import OPEN
from fluxora_tasks.operations.records import DeadLetterDetail, DeadLetterSummary, HistoryEntry

#: Stored status -> what a person reads, Bootstrap's colour.
STATUSES: Final = {
    "PENDING": ("Pending", "warning"),
    "RETRYING": ("Retrying", "info"),
    "FAILED": ("Quarantined", "danger"),
    "RESOLVED": ("Resolved", "success"),
    "DISCARDED": ("Discarded", "secondary"),
}

#: What may be done with an open record; the operation itself has the last word.
ACTIONS: Final = ("replay", "resolve", "discard")

#: Cursors carried for the way back; a longer way starts at the newest again.
_BACK_LIMIT: Final = 40


@dataclass(frozen=True, slots=True)
class ListView:
    """What of the list is asked for.

    Attributes:
        filter: Filter text as typed.
        status: One of ``STATUSES``, or empty for all.
        cursor: Where this page starts; empty for the newest.
        before: Cursors of the pages passed on the way, oldest first.
    """

    filter: str = ""
    status: str = ""
    cursor: str = ""
    before: tuple[str, ...] = ()

    @property
    def effective_filter(self) -> str:
        """The filter text and the chosen status.

        Raises:
            FilterError: with the position in what was typed.
        """
        if not self.status:
            return self.filter
        return str(all_of(parse(self.filter), Term("status", self.status)))

    def with_status(self, status: str) -> ListView:
        """The first page of another status."""
        return ListView(filter=self.filter, status=status)

    def without_filter(self) -> ListView:
        """The first page of the same status, unfiltered."""
        return ListView(status=self.status)

    def older(self, cursor: str) -> ListView:
        """The page after this one."""
        return replace(self, cursor=cursor, before=(*self.before, self.cursor)[-_BACK_LIMIT:])

    def newer(self) -> ListView:
        """The page before this one; the newest where the way is not known."""
        *passed, last = self.before or ("",)
        return replace(self, cursor=last, before=tuple(passed))

    def query(self) -> list[tuple[str, str]]:
        """As arguments of a URL, the empty ones left out."""
        single = [("status", self.status), ("filter", self.filter), ("cursor", self.cursor)]
        before = [("before", cursor) for cursor in self.before] if self.cursor else []
        return [(name, value) for name, value in single if value] + before


def list_view(*, filter: str, status: str, cursor: str, before: Sequence[str]) -> ListView:
    """From the arguments of a request; an unknown status counts as none."""
    return ListView(filter, status if status in STATUSES else "", cursor, tuple(before)[-_BACK_LIMIT:])


@dataclass(frozen=True, slots=True)
class DetailView:
    """One dead letter, its longer texts ready to be shown."""

    summary: DeadLetterSummary
    possible: Sequence[str]
    args: str | None
    kwargs: str | None
    body_note: str | None
    headers: str
    traceback: str
    facts: Sequence[tuple[str, str]]
    history: Sequence[HistoryEntry]


def detail_view(detail: DeadLetterDetail) -> DetailView:
    """Run where it may take a while: arguments can be megabytes."""
    summary = detail.summary
    return DetailView(
        summary=summary,
        possible=ACTIONS if summary.status in OPEN else (),
        args=None if detail.args is None else display.pretty(detail.args),
        kwargs=None if detail.kwargs is None else display.pretty(detail.kwargs),
        body_note=detail.body_note,
        headers=display.pretty(detail.headers),
        traceback=display.shown(detail.traceback),
        facts=_facts(detail),
        history=detail.history,
    )


def _facts(detail: DeadLetterDetail) -> list[tuple[str, str]]:
    summary = detail.summary
    facts = [
        ("Id", summary.id),
        ("Task id", summary.task_id),
        ("Message id", detail.message_id),
        ("Queue", summary.queue),
        ("Exchange", detail.exchange or "(default)"),
        ("Routing key", detail.routing_key),
        ("Worker", detail.worker),
        ("Attempts", str(summary.attempts)),
        ("Replays", str(summary.replays)),
        ("First failed", f"{display.moment(summary.first_failed_at)} UTC"),
        ("Last failed", f"{display.moment(summary.last_failed_at)} UTC"),
        ("Content type", detail.content_type or ""),
        ("Size", display.size(summary.size)),
    ]
    return [(name, display.shown(value, 1000)) for name, value in facts if value]

"""What an operator does with dead letters: list, look, replay, resolve, discard, restore, release."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from kombu import Connection

from fluxora_tasks.deadletter.redaction import USUAL, Redaction
from fluxora_tasks.deadletter.view import view_of
from fluxora_tasks.errors import StoreUnavailable, UnknownDeadLetter
from fluxora_tasks.ledger.filters import parse
from fluxora_tasks.ledger.ingest import KEPT_FIRST
from fluxora_tasks.ledger.records import Attempt, AuditEvent, Letter, Story, Verdict
from fluxora_tasks.ledger.replay import PublishFailure, Replayer
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.ledger.standing import Status
from fluxora_tasks.operations.acting import MOST_ROWS, by_id, check_actor, check_limit, only_one
from fluxora_tasks.operations.records import (
    ActionResult,
    Actor,
    DeadLetterDetail,
    DeadLetterSummary,
    HistoryEntry,
    Original,
    Outcome,
    Page,
)

#: Ids of a selection.
MOST_SELECTED: Final = 10_000

#: Records per transaction of an action, and claims held before they are sent.
_DECIDED: Final = 500
_CLAIMED: Final = 100

_WHOLE_ID: Final = 36


class DeadLetters:
    """
    Dead letters, for an operator. Safe for threads.

    Args:
        ledger: Where they stand.
        connect: Opens a connection to the broker; asked only when something is replayed.
        replay_cap: Replays that may fail before a record is quarantined.
        redaction: What is hidden of records that have no view.
    """

    def __init__(
        self,
        ledger: Ledger,
        connect: Callable[[], Connection],
        *,
        replay_cap: int = 3,
        redaction: Redaction = USUAL,
        void: Callable[[str, int], None] | None = None,
    ) -> None:
        self._ledger, self._connect, self._cap = ledger, connect, replay_cap
        self._redaction = redaction
        self._void = void or _no_gate

    def list(self, filter: str = "", *, limit: int = 50, cursor: str | None = None) -> Page:
        """One page, newest failure first.

        Raises:
            ConfigurationError: the filter, the limit or the cursor cannot be understood.
        """
        check_limit(limit)
        page = self._ledger.find(parse(filter), limit=limit, cursor=cursor)
        return Page([_summary(letter) for letter in page.letters], page.total, page.next, page.total_is_exact)

    def get(self, id: str) -> DeadLetterDetail:
        """One record, whole, by its id or the beginning of it.

        Raises:
            UnknownDeadLetter: none begins so.
            RefusedError: several do, or the beginning is too short.
        """
        story = self._ledger.story(self._whole_id(id))
        if story is None:
            raise UnknownDeadLetter(id)
        return _detail(story, self._redaction)

    def export(self, filter: str = "") -> Iterator[DeadLetterDetail]:
        """Every record that a filter finds, whole as ``get`` gives it, newest failure first; page by page.

        Raises:
            ConfigurationError: the filter cannot be understood.
        """
        wanted, cursor = parse(filter), None
        while True:
            page = self._ledger.find(wanted, limit=MOST_ROWS, cursor=cursor)
            stories = (self._ledger.story(letter.id) for letter in page.letters)
            # one that is purged meanwhile is left out
            yield from (_detail(story, self._redaction) for story in stories if story is not None)
            if (cursor := page.next) is None:
                return

    def reveal(self, id: str, actor: Actor) -> Original:
        """The message of a record as it was received; the audit says who asked, and why.

        Raises:
            ConfigurationError: no reason is given.
            UnknownDeadLetter: no id begins so.
            RefusedError: several do, or the beginning is too short.
        """
        check_actor(actor)
        dead_id = self._whole_id(id)
        payload = self._ledger.reveal(dead_id, actor)
        if payload is None:
            raise UnknownDeadLetter(id)
        kinds = (payload.content_type, payload.content_encoding)
        return Original(dead_id, payload.body, *kinds, dict(payload.headers), dict(payload.properties))

    def select(self, filter: str, status: str = "PENDING") -> Sequence[str]:
        """Ids an action may take, oldest failure first, at most 10,000.

        Without a ``status`` term only records of ``status`` are meant: others, quarantined ones say, have to be named.

        Raises:
            ConfigurationError: the filter cannot be understood.
        """
        return self._ledger.select(parse(filter), limit=MOST_SELECTED, status=Status(status))

    def replay(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        """Send records again, with their original bytes, to the queue they came from; one result per record.

        Raises:
            ConfigurationError: no reason is given.
            LedgerUnavailable: nothing more was done.
        """
        with Replayer(self._connect, self._ledger) as replayer:
            return self._each(ids, actor, _CLAIMED, lambda chunk: self._replay_chunk(replayer, chunk, actor))

    def resolve(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        """Mark records as resolved by hand; one result per record.

        Raises:
            ConfigurationError: no reason is given.
        """
        return self._each(ids, actor, _DECIDED, lambda chunk: _results(self._ledger.resolve(chunk, actor)))

    def discard(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        """Mark records as not wanted; one result per record.

        Raises:
            ConfigurationError: no reason is given.
        """
        return self._each(ids, actor, _DECIDED, lambda chunk: _results(self._ledger.discard(chunk, actor)))

    def restore(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        """Take back a discard, or a resolve by hand; one result per record.

        Raises:
            ConfigurationError: no reason is given.
        """
        return self._each(ids, actor, _DECIDED, lambda chunk: _results(self._ledger.restore(chunk, actor)))

    def release(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        """Take records out of quarantine; the count of their replays begins anew; one result per record.

        Raises:
            ConfigurationError: no reason is given.
        """
        return self._each(ids, actor, _DECIDED, lambda chunk: _results(self._ledger.readmit(chunk, actor)))

    def declare_lost(self, ids: Sequence[str], actor: Actor, *, anyway: bool = False) -> Sequence[ActionResult]:
        """Give up replays that nobody has heard of for too long; one result per record.

        No copy of them may run any more, which the workers are told before.

        Args:
            anyway: Also of those that have not been silent for long.

        Raises:
            ConfigurationError: no reason is given.
            StoreUnavailable: the workers cannot be told; nothing more was done.
        """

        def lose(chunk: Sequence[str]) -> Sequence[ActionResult]:
            return [self._lose(dead_id, actor, anyway) for dead_id in chunk]

        return self._each(ids, actor, _DECIDED, lose)

    def _lose(self, dead_id: str, actor: Actor, anyway: bool) -> ActionResult:
        replay = self._ledger.running_replay(dead_id)
        if replay is None:
            return _no_replay(dead_id, self._ledger.story(dead_id))
        if replay.unconfirmed_at is None and not anyway:
            detail = f"replay {replay.replay_no} is not unconfirmed yet; wait for its outcome, or say --anyway"
            return ActionResult(dead_id, "refused", Status.RETRYING, detail)
        self._void(dead_id, replay.replay_no)
        return _result(self._ledger.lose(dead_id, replay.replay_no, actor))

    def _each(
        self,
        ids: Sequence[str],
        actor: Actor,
        size: int,
        act: Callable[[Sequence[str]], Sequence[ActionResult]],
    ) -> Sequence[ActionResult]:
        """Act on the records in chunks; ids that lead to none are answered in their place."""
        check_actor(actor)

        def in_chunks(known: Sequence[str]) -> Sequence[ActionResult]:
            chunks = (known[start : start + size] for start in range(0, len(known), size))
            return [result for chunk in chunks for result in act(chunk)]

        # whole ids are looked up by the action itself
        return by_id(ids, lambda given: given if len(given) >= _WHOLE_ID else self._whole_id(given), in_chunks)

    def _replay_chunk(self, replayer: Replayer, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        verdicts = self._ledger.claim(ids, actor)
        failures = replayer.send([verdict.claim for verdict in verdicts if verdict.claim])
        return [self._replayed(verdict, failures.get(verdict.id)) for verdict in verdicts]

    def _replayed(self, verdict: Verdict, failure: PublishFailure | None) -> ActionResult:
        if failure is None or verdict.claim is None:
            return self._with_warning(_result(verdict), verdict)
        if failure.is_open:
            return ActionResult(verdict.id, "failed", verdict.status, failure.detail)
        status = self._ledger.release(verdict.claim.item_id, failure.detail)
        outcome: Outcome = "refused" if failure.reason == "no_queue" else "failed"
        return ActionResult(verdict.id, outcome, status, failure.detail)

    def _with_warning(self, result: ActionResult, verdict: Verdict) -> ActionResult:
        if verdict.claim is None or verdict.claim.replay_no < self._cap:
            return result
        detail = f"{result.detail}; if it fails, the record is quarantined as FAILED"
        return ActionResult(result.id, result.outcome, result.status, detail)

    def _whole_id(self, given: str) -> str:
        return only_one(given, self._ledger.ids_starting_with, "dead letters", UnknownDeadLetter)


def _no_gate(dead_id: str, replay_no: int) -> None:
    raise StoreUnavailable("there is no shared state (FLUXORA_REDIS_URL), so workers cannot be told of lost replays")


def _no_replay(dead_id: str, story: Story | None) -> ActionResult:
    if story is None:
        return ActionResult(dead_id, "unknown", None, str(UnknownDeadLetter(dead_id)))
    return ActionResult(dead_id, "refused", story.letter.status, f"is {story.letter.status}: no replay is under way")


def _summary(letter: Letter) -> DeadLetterSummary:
    return DeadLetterSummary(**{name: getattr(letter, name) for name in letter.__slots__})


def _results(verdicts: Sequence[Verdict]) -> Sequence[ActionResult]:
    return [_result(verdict) for verdict in verdicts]


def _result(verdict: Verdict) -> ActionResult:
    return ActionResult(verdict.id, verdict.outcome, verdict.status, verdict.detail)


def _detail(story: Story, redaction: Redaction) -> DeadLetterDetail:
    # records of older releases have no view; theirs is made now, without the names of the task's parameters
    view = story.view or view_of(story.payload, (), redaction)[0]
    return DeadLetterDetail(
        summary=_summary(story.letter),
        args=view.args,
        kwargs=view.kwargs,
        body_note=view.note,
        content_type=story.payload.content_type,
        headers=view.headers,
        traceback=story.traceback,
        worker=story.worker,
        exchange=story.exchange,
        routing_key=story.routing_key,
        message_id=story.message_id,
        replay=story.replay,
        possible_duplicates=story.duplicates,
        history=_history(story),
    )


def _history(story: Story) -> Sequence[HistoryEntry]:
    """Failures and changes of status, oldest first; a change that only says "failed" is told by its failure."""
    entries = [_failed_entry(attempt) for attempt in story.attempts]
    entries += [_changed_entry(event) for event in story.events if event.event != "failed"]
    entries += [
        HistoryEntry(at, "succeeded", "system", f"replay {number} succeeded late", number)
        for number, at in story.late_successes
    ]
    entries.sort(key=lambda entry: entry.at)
    omitted = story.failures - len(story.attempts)
    if omitted > 0:
        last_of_first = [entry for entry in entries if entry.event == "failed"][KEPT_FIRST - 1]
        line = f"{omitted} more failures in between are counted, but not kept"
        note = HistoryEntry(last_of_first.at, "omitted", "system", line, last_of_first.replay_no)
        entries.insert(entries.index(last_of_first) + 1, note)
    return entries


def _failed_entry(attempt: Attempt) -> HistoryEntry:
    lines = attempt.message.splitlines()
    error = ": ".join(part for part in (attempt.exception_type, lines[0] if lines else "") if part)
    runs = f" (after {attempt.attempts} attempts)" if attempt.attempts > 1 else ""
    where = f" on {attempt.worker}" if attempt.worker else ""
    detail = f"{error or attempt.kind}{runs}{where}"
    return HistoryEntry(attempt.failed_at, "failed", "worker", detail, attempt.replay_no)


def _changed_entry(event: AuditEvent) -> HistoryEntry:
    detail = "; ".join(part for part in (event.reason, event.detail) if part) or event.to_status
    return HistoryEntry(event.at, event.event, event.actor, detail, event.replay_no)

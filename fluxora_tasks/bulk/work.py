"""Bulk operations as they are done: every step of the executor in one transaction of its own [sqlalchemy].

A record is claimed, its item marked as sent, and the counters moved in the same transaction, before anything is
published. So whoever dies after it leaves a claim that the ledger's sweep publishes again, and whoever dies before it
leaves an item that is still to be sent. Outcomes are read off the replays, never told by the publisher.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, and_, or_, select, update

from fluxora_tasks.bulk import changes, selection
from fluxora_tasks.bulk.operation import Kind, Operation, Outcome, Progress, State, operation_of
from fluxora_tasks.bulk.outcomes import Verdicts, reason_to_skip, settled
from fluxora_tasks.bulk.pacing import heard, spent
from fluxora_tasks.bulk.store import EXECUTOR
from fluxora_tasks.clock import Clock, SystemClock
from fluxora_tasks.ledger import claims, lease
from fluxora_tasks.ledger.database import reading, writing
from fluxora_tasks.ledger.models import (
    DeadLetterRow,
    OperationItemRow,
    OperationRow,
    ReplayItemRow,
    table_of,
)
from fluxora_tasks.ledger.records import Claim
from fluxora_tasks.ledger.statements import EachRow, among, insert_all

#: Records listed, marked, or looked at in one transaction.
LISTED: Final = 1000
CHUNK: Final = 500

_row = OperationRow
_item = OperationItemRow
_letter = DeadLetterRow
_replay = ReplayItemRow

_DECISIONS: Final = {Kind.RESOLVE: claims.RESOLVE, Kind.DISCARD: claims.DISCARD, Kind.RESTORE: claims.RESTORE}

#: States of a replay that are its end.
_ENDED: Final = ("succeeded", "failed", "aborted", "lost")


class LeaseLost(Exception):
    """Another executor works now."""


class Work:
    """What the executor does with operations. Each method may be called again after it was cut off anywhere.

    Args:
        engine: Of the ledger.
        owner: Name of this executor.
        clock: Times of what is noted.
    """

    def __init__(self, engine: Engine, owner: str, clock: Clock | None = None) -> None:
        self._engine = engine
        self.owner = owner
        self._clock = clock or SystemClock()

    # ------------------------------------------------------------------------------------------ lease

    def hold_lease(self, seconds: float) -> bool:
        """Be the one executor for so long."""
        with writing(self._engine) as connection:
            return lease.acquire_or_renew(connection, EXECUTOR, self.owner, seconds)

    def release_lease(self) -> None:
        """Let another one work at once."""
        with writing(self._engine) as connection:
            lease.release(connection, EXECUTOR, self.owner)

    # -------------------------------------------------------------------------------------------- ask

    def get(self, operation_id: str) -> Operation:
        """One of them, as it stands now."""
        (operation,) = self._operations(_row.id == operation_id)
        return operation

    def open_operations(self) -> Sequence[Operation]:
        """Those that are not over, the oldest first."""
        condition = (_row.state != State.PLANNED.value) & _row.ended_at.is_(None)
        return self._operations(condition)

    def unconfirmed_operations(self) -> Sequence[Operation]:
        """Those that are over, but whose unconfirmed records may still have an outcome."""
        condition = _row.ended_at.is_not(None) & (_row.known > _row.succeeded + _row.failed + _row.skipped)
        return self._operations(condition)

    def upcoming(self, operation_id: str, limit: int) -> Sequence[tuple[str, str]]:
        """Tasks and queues of the next records to be sent."""
        following = _pending(operation_id, limit).subquery()
        query = select(_letter.task, _letter.queue).join(following, following.c.dead_letter_id == _letter.id)
        with reading(self._engine) as connection:
            return [(task, queue) for task, queue in connection.execute(query.distinct())]

    # ------------------------------------------------------------------------------------------- work

    def list_more(self, operation_id: str) -> None:
        """Make items of the next records of the selection."""
        with self._locked(operation_id) as (connection, operation):
            if operation.listed_all or operation.state not in (State.RUNNING, State.PAUSED):
                return
            page = selection.page(
                connection,
                operation.kind,
                operation.selector,
                after=operation.listed_key,
                cutoff=operation.cutoff_at,
                limit=LISTED,
            )
            # one that failed anew while others were listed comes again, where the clocks of workers are behind
            known = _listed_already(connection, operation_id, [record.id for record in page.records])
            fresh = [record for record in page.records if record.id not in known]
            rows = _item_rows(operation, fresh, self._clock.now())
            insert_all(connection, table_of(_item), rows)
            skipped = sum(row["outcome"] == Outcome.SKIPPED.value for row in rows)
            total = operation.total + len(rows)
            _count(connection, operation, Counter(skipped=skipped, known=skipped))
            _set(connection, operation, listed_key=page.key, listed_all=page.is_last, total=total)

    def issue(self, operation_id: str, count: int, progress: Progress) -> Sequence[Claim]:
        """Claim the next records and mark them as sent; returns what is to be published.

        Args:
            progress: As the decision left it; what is sent is counted on top.

        Raises:
            LeaseLost: nothing was done.
        """
        now = self._clock.now()
        with self._locked(operation_id) as (connection, operation):
            if operation.state is not State.RUNNING:
                return []
            ids = _next_ids(connection, operation_id, min(count, CHUNK))
            verdicts = _sift(connection, operation, ids)
            claimable = [dead_id for dead_id in ids if dead_id not in verdicts.skipped]
            by = _Order(operation)
            answers = claims.claim(connection, claimable, by, now=now, operation_id=operation_id) if claimable else []
            verdicts.add(answers)
            granted = [answer.claim for answer in answers if answer.claim is not None]
            for claim in granted:
                verdicts.mark(claim.dead_id, Outcome.ISSUED, replay_no=claim.replay_no)
            _mark(connection, operation, verdicts, now)
            after = spent(progress, len(granted), operation.in_flight, now.timestamp())
            _set(connection, operation, progress=after.written())
        return granted

    def act(self, operation_id: str) -> int:
        """Resolve, discard or restore the next records; returns how many there were.

        Raises:
            LeaseLost: nothing was done.
        """
        now = self._clock.now()
        with self._locked(operation_id) as (connection, operation):
            if operation.state is not State.RUNNING:
                return 0
            ids = _next_ids(connection, operation_id, CHUNK)
            verdicts = _sift(connection, operation, ids)
            taken = [dead_id for dead_id in ids if dead_id not in verdicts.skipped]
            if taken:
                decision = _DECISIONS[operation.kind]
                answers = claims.decide(
                    connection, taken, decision, _Order(operation), now=now, operation_id=operation_id
                )
                verdicts.add(answers)
                for answer in answers:
                    if answer.outcome == "done":
                        verdicts.mark(answer.id, Outcome.DONE)
            _mark(connection, operation, verdicts, now)
        return len(ids)

    def learn(self, operation_id: str) -> int:
        """Note the outcomes that replays have by now; returns how many there were."""
        with reading(self._engine) as connection:
            # a look that locks nothing: most of the time there is nothing new
            if not connection.execute(_news(operation_id).limit(1)).first():
                return 0
        now = self._clock.now()
        with self._locked(operation_id) as (connection, operation):
            rows = connection.execute(_news(operation_id).limit(CHUNK)).all()
            verdicts = Verdicts()
            ended = [outcome for row in rows if (outcome := settled(row, verdicts)) is not None]
            _mark(connection, operation, verdicts, now, {row.dead_letter_id: row.outcome for row in rows})
            after = heard(operation.progress, ended, operation.pace, now.timestamp())
            _set(connection, operation, progress=after.written())
        return len(rows)

    def skip_rest(self, operation_id: str) -> int:
        """Skip records of an operation that was stopped; returns how many there were."""
        now = self._clock.now()
        with self._locked(operation_id) as (connection, operation):
            if operation.state not in (State.CANCELLED, State.ABORTED):
                return 0
            verdicts = Verdicts()
            for dead_id in _next_ids(connection, operation_id, LISTED):
                verdicts.skip(dead_id, operation.state.value, "")
            _mark(connection, operation, verdicts, now)
        return len(verdicts.rows)

    # ------------------------------------------------------------------------------------------ state

    def hold(self, operation_id: str, reason: str, progress: Progress | None = None) -> None:
        """Pause by itself, or say anew why; ``progress``: as it goes on from."""
        with self._locked(operation_id) as (connection, operation):
            columns: dict[str, Any] = {"hold": reason, "held_by": changes.SYSTEM}
            if progress is not None:
                columns["progress"] = progress.written()
            if operation.state is State.RUNNING:
                now = self._clock.now()
                changes.move(connection, operation, State.PAUSED, now=now, detail=reason, **columns)
            elif operation.held_by == changes.SYSTEM and operation.hold != reason:
                _set(connection, operation, **columns)

    def go_on(self, operation_id: str) -> None:
        """End a pause that it made by itself."""
        with self._locked(operation_id) as (connection, operation):
            if operation.state is State.PAUSED and operation.held_by == changes.SYSTEM:
                why = f"no longer: {operation.hold}"
                now = self._clock.now()
                changes.move(connection, operation, State.RUNNING, now=now, detail=why, hold="", held_by="")

    def abort(self, operation_id: str, reason: str) -> None:
        """Stop for good, by itself."""
        with self._locked(operation_id) as (connection, operation):
            if operation.state in (State.RUNNING, State.PAUSED):
                now = self._clock.now()
                changes.move(connection, operation, State.ABORTED, now=now, detail=reason, hold="", held_by="")
                _set(connection, operation, detail=reason)

    def end(self, operation_id: str) -> None:
        """Note that every outcome is known."""
        now = self._clock.now()
        with self._locked(operation_id) as (connection, operation):
            if operation.in_flight or operation.pending or operation.ended_at is not None:
                return
            if operation.state in (State.CANCELLED, State.ABORTED):
                _set(connection, operation, ended_at=now)
            elif operation.listed_all:
                columns: dict[str, Any] = {"hold": "", "held_by": "", "ended_at": now}
                changes.move(connection, operation, State.COMPLETED, now=now, **columns)

    # ------------------------------------------------------------------------------------------ inside

    def _operations(self, condition: Any) -> Sequence[Operation]:
        query = select(_row).where(condition).order_by(_row.planned_at, _row.id)
        with reading(self._engine) as connection:
            return [operation_of(row) for row in connection.execute(query)]

    @contextmanager
    def _locked(self, operation_id: str) -> Iterator[tuple[Connection, Operation]]:
        """A transaction with an operation's row locked, while this executor has the lease."""
        with writing(self._engine) as connection:
            if lease.holder(connection, EXECUTOR) != self.owner:
                raise LeaseLost(self.owner)
            yield connection, changes.locked(connection, operation_id)


class _Order:
    """The operator of an operation, as the requester of what is done to each record."""

    def __init__(self, operation: Operation) -> None:
        self.name, self.reason, self.source = operation.actor, operation.reason, operation.source


def _item_rows(operation: Operation, records: Sequence[selection.Listed], now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "operation_id": operation.id,
            "seq": seq,
            "dead_letter_id": record.id,
            "outcome": (Outcome.SKIPPED if record.why else Outcome.PENDING).value,
            "why": record.why,
            "replay_no": None,
            "changed_at": now,
            "group_id": record.group,
            "new_group_id": None,
            "detail": "",
        }
        for seq, record in enumerate(records, operation.total + 1)
    ]


def _listed_already(connection: Connection, operation_id: str, ids: Sequence[str]) -> set[str]:
    query = select(_item.dead_letter_id).where(_item.operation_id == operation_id)
    return set(connection.execute(query.where(among(connection, _item.dead_letter_id, ids))).scalars())


def _pending(operation_id: str, limit: int) -> Any:
    return (
        select(_item.dead_letter_id)
        .where(_item.operation_id == operation_id, _item.outcome == Outcome.PENDING.value)
        .order_by(_item.seq)
        .limit(limit)
    )


def _next_ids(connection: Connection, operation_id: str, limit: int) -> list[str]:
    return list(connection.execute(_pending(operation_id, limit)).scalars())


def _sift(connection: Connection, operation: Operation, ids: Sequence[str]) -> Verdicts:
    """Lock the records, and skip those that this operation may not take as they stand now."""
    columns = (_letter.id, _letter.status, _letter.queue, _letter.last_failed_at)
    query = select(*columns).where(among(connection, _letter.id, ids))
    rows = {row.id: row for row in connection.execute(query.order_by(_letter.id).with_for_update())}
    rules: dict[str, Any] = {
        "cutoff": operation.cutoff_at,
        "takes_quarantined": selection.takes_quarantined(operation.selector),
    }
    verdicts = Verdicts()
    for dead_id in ids:
        why, detail = reason_to_skip(operation.kind, rows.get(dead_id), **rules)
        if why:
            verdicts.skip(dead_id, why, detail)
    return verdicts


def _news(operation_id: str) -> Any:
    """Records sent, with the replays that have ended or of which nobody has heard."""
    columns = (
        *(_item.dead_letter_id, _item.outcome, _item.group_id.label("old_group")),
        *(_replay.state, _replay.unconfirmed_at, _replay.error, _replay.replay_no),
        *(_letter.message, *selection.GROUPED),
    )
    same = (_replay.dead_letter_id == _item.dead_letter_id) & (_replay.replay_no == _item.replay_no)
    is_waiting = _item.outcome == Outcome.ISSUED.value
    return (
        select(*columns)
        .outerjoin(_replay, same)
        .outerjoin(_letter, _letter.id == _item.dead_letter_id)
        .where(
            _item.operation_id == operation_id,
            _item.outcome.in_((Outcome.ISSUED.value, Outcome.UNCONFIRMED.value)),
            or_(
                _replay.state.in_(_ENDED),
                is_waiting & _replay.unconfirmed_at.is_not(None),
                is_waiting & _replay.id.is_(None),
            ),
        )
        .order_by(_replay.ended_at, _item.seq)
    )


def _mark(
    connection: Connection,
    operation: Operation,
    verdicts: Verdicts,
    now: datetime,
    before: dict[str, str] | None = None,
) -> None:
    """Write outcomes and move the counters by them; ``before``: outcomes that were, where not all were pending."""
    if not verdicts.rows:
        return
    _MARK.run(
        connection,
        [
            {
                "of": operation.id,
                "record": dead_id,
                "at": now,
                **{f"new_{name}": getattr(row, name) for name in _MARKED},
            }
            for dead_id, row in verdicts.rows.items()
        ],
    )
    moved: Counter[str] = Counter()
    for dead_id, row in verdicts.rows.items():
        moved.subtract(_COUNTED[(before or {}).get(dead_id, Outcome.PENDING.value)])
        moved.update(_COUNTED[row.outcome])
    _count(connection, operation, moved)


_MARKED: Final = ("outcome", "why", "replay_no", "new_group_id", "detail")
_MARK: Final = EachRow(
    table_of(_item),
    {
        "of": _item.operation_id.type,
        "record": _item.dead_letter_id.type,
        "at": _item.changed_at.type,
        **{f"new_{name}": getattr(_item, name).type for name in _MARKED},
    },
    lambda given: (
        and_(_item.operation_id == given["of"], _item.dead_letter_id == given["record"]),
        {"changed_at": given["at"], **{name: given[f"new_{name}"] for name in _MARKED}},
    ),
)

#: Outcome -> the counters of an operation that it is in.
_COUNTED: Final[dict[str, tuple[str, ...]]] = {
    Outcome.PENDING.value: (),
    Outcome.ISSUED.value: ("issued",),
    Outcome.DONE.value: ("issued", "known", "succeeded"),
    Outcome.SUCCEEDED.value: ("issued", "known", "succeeded"),
    Outcome.FAILED_AGAIN.value: ("issued", "known", "failed"),
    Outcome.PUBLISH_FAILED.value: ("issued", "known", "failed"),
    Outcome.UNCONFIRMED.value: ("issued", "known"),
    Outcome.SKIPPED.value: ("known", "skipped"),
}


def _count(connection: Connection, operation: Operation, moved: Counter[str]) -> None:
    by = {name: getattr(_row, name) + number for name, number in moved.items() if number}
    if by:
        _set(connection, operation, **by)


def _set(connection: Connection, operation: Operation, **columns: Any) -> None:
    connection.execute(update(_row).where(_row.id == operation.id).values(**columns))

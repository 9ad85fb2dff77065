"""Changes an operator asks for [sqlalchemy]: claim a replay, give it back, give it up, resolve, discard, restore.

Each runs in the caller's transaction, looks at locked rows, and compares the version it saw. A claim uses up a
replay number, whatever becomes of it, so that an answer can never be taken for that of another replay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, or_, select, update

from fluxora_tasks.deadletter.envelope import Payload
from fluxora_tasks.deadletter.identity import new_id, timed_id
from fluxora_tasks.deadletter.rewrite import needs_fresh_task_id, rewrite
from fluxora_tasks.errors import ConflictError
from fluxora_tasks.ledger import groups, trail
from fluxora_tasks.ledger.audits import audit_columns, said_by
from fluxora_tasks.ledger.fold import standing_columns
from fluxora_tasks.ledger.ingest import STANDING, lock_items, standing_of
from fluxora_tasks.ledger.models import AnyRow, DeadLetterRow, OutboxRow, ReplayItemRow, table_of
from fluxora_tasks.ledger.outbox import event_columns
from fluxora_tasks.ledger.records import Claim, Requester, Verdict
from fluxora_tasks.ledger.rows import MESSAGE_LENGTH, storable
from fluxora_tasks.ledger.search import payload_of
from fluxora_tasks.ledger.standing import (
    OPEN,
    Standing,
    Status,
    claimed,
    decided,
    lost,
    readmitted,
    released,
    restored,
)
from fluxora_tasks.ledger.statements import among, insert_all, update_all, update_seen

#: Physical copies of one replay that are tried before it counts as not publishable.
MOST_TRIES: Final = 5

_row = DeadLetterRow
_item = ReplayItemRow

_VERSIONED: Final = (_row.id, _row.version, *STANDING)
_MESSAGE: Final = (
    *(_row.queue, _row.message_id, _row.content_type, _row.content_encoding),
    *(_row.headers, _row.properties, _row.body, _row.emptied_at),
)


def claim(
    connection: Connection, ids: Sequence[str], by: Requester, *, now: datetime, operation_id: str | None = None
) -> list[Verdict]:
    """Take the right to replay records; one verdict per id, in the order given."""
    rows = _locked(connection, ids, *_VERSIONED, *_MESSAGE)
    holders = _holders(connection, [row.id for row in rows.values() if row.status == Status.RETRYING])
    task_ids = _last_task_ids(connection, [row.id for row in rows.values() if row.replay_no])
    verdicts, changes, items = [], [], []
    for dead_id in ids:
        row = rows.get(dead_id)
        refusal = _unknown(dead_id) if row is None else _not_claimable(row, holders)
        if refusal or row is None:
            verdicts.append(refusal or _unknown(dead_id))
            continue
        before = standing_of(row)
        after = claimed(before)
        task_id = new_id() if needs_fresh_task_id(row.kind) else task_ids.get(dead_id)
        item = _item_columns(row, after, by, now, operation_id, task_id)
        items.append(item)
        changes.append((row, before, after))
        verdicts.append(Verdict(dead_id, "done", after.status, _sent_line(row, after), _claim_of(row, item)))
    insert_all(connection, table_of(_item), items)
    _change(connection, changes, "replayed", by, now, operation_id)
    return verdicts


@dataclass(frozen=True, slots=True)
class Decision:
    """What an operator says of a record.

    Attributes:
        event: Its name in the audit.
        allows: Whether it can be said of a record that stands so.
        after: Where the record stands then.
        only: Which records it can be said of, for people.
    """

    event: str
    allows: Callable[[Standing], bool]
    after: Callable[[Standing], Standing]
    only: str


def _is_open(standing: Standing) -> bool:
    return standing.status in OPEN


_OPEN_ONES: Final = "only PENDING or FAILED can be {}"

RESOLVE: Final = Decision(
    "resolved", _is_open, lambda before: decided(before, Status.RESOLVED), _OPEN_ONES.format("resolved")
)
DISCARD: Final = Decision(
    "discarded", _is_open, lambda before: decided(before, Status.DISCARDED), _OPEN_ONES.format("discarded")
)
RESTORE: Final = Decision(
    "restored",
    lambda before: before.may_be_restored,
    restored,
    "only DISCARDED, or RESOLVED by an operator, can be restored",
)
READMIT: Final = Decision(
    "released", lambda before: before.status is Status.FAILED, readmitted, "only FAILED can be released"
)


def decide(
    connection: Connection,
    ids: Sequence[str],
    decision: Decision,
    by: Requester,
    *,
    now: datetime,
    operation_id: str | None = None,
) -> list[Verdict]:
    """Resolve, discard, restore or release records; one verdict per id, in the order given."""
    rows = _locked(connection, ids, *_VERSIONED)
    holders = _holders(connection, [row.id for row in rows.values() if row.status == Status.RETRYING])
    verdicts, changes = [], []
    for dead_id in ids:
        row = rows.get(dead_id)
        if row is None:
            verdicts.append(_unknown(dead_id))
            continue
        before = standing_of(row)
        if not decision.allows(before):
            verdicts.append(_not_allowed(row, decision.only, holders))
            continue
        after = decision.after(before)
        changes.append((row, before, after))
        verdicts.append(Verdict(dead_id, "done", after.status, f"was {before.status}"))
    _change(connection, changes, decision.event, by, now, operation_id)
    return verdicts


def lose(connection: Connection, dead_id: str, replay_no: int, by: Requester, *, now: datetime, cap: int) -> Verdict:
    """Give up a replay nobody has heard of; its gate is closed already, so that a late copy of it does not run."""
    row = _locked(connection, [dead_id], *_VERSIONED).get(dead_id)
    if row is None:
        return _unknown(dead_id)
    lock_items(connection, _item.dead_letter_id == dead_id)
    item = connection.execute(select(_item).where(_item.dead_letter_id == dead_id, _item.active)).one_or_none()
    before = standing_of(row)
    if item is None or before.status is not Status.RETRYING or {item.replay_no, before.replay_no} != {replay_no}:
        return Verdict(dead_id, "conflict", before.status, f"is {before.status}: the replay has its outcome")
    connection.execute(update(_item).where(_item.id == item.id).values(state="lost", active=False, ended_at=now))
    after = lost(before, cap)
    _change(connection, [(row, before, after)], "lost", by, now, item.operation_id)
    return Verdict(dead_id, "done", after.status, f"replay {replay_no} is lost")


def mark_issued(connection: Connection, item_ids: Sequence[str], *, now: datetime) -> None:
    """Note that the broker has the messages; one that was answered meanwhile stays as it is."""
    if item_ids:
        wanted = among(connection, _item.id, item_ids)
        lock_items(connection, wanted)
        connection.execute(update(_item).where(wanted, _item.state == "claimed").values(state="issued", issued_at=now))


def release(connection: Connection, item_id: str, error: str, *, now: datetime) -> str | None:
    """Give a claim back that could not be published; returns the record's status now.

    A record that was answered meanwhile keeps its status: the message had arrived after all.
    """
    error = storable(error, MESSAGE_LENGTH)
    dead_id = connection.execute(select(_item.dead_letter_id).where(_item.id == item_id)).scalar()
    row = _locked(connection, [dead_id] if dead_id else [], *_VERSIONED).get(dead_id or "")
    item = connection.execute(select(_item).where(_item.id == item_id, _item.active)).one_or_none()
    if row is None or item is None:
        return None if row is None else str(row.status)
    connection.execute(
        update(_item).where(_item.id == item_id).values(state="aborted", active=False, ended_at=now, error=error)
    )
    before = standing_of(row)
    if before.status is not Status.RETRYING or before.replay_no != item.replay_no:
        return before.status
    after = released(before, Status(item.previous_status))
    _change(connection, [(row, before, after)], "publish_failed", _System(error), now)
    return after.status


def retake(connection: Connection, *, before: datetime, now: datetime, limit: int) -> list[Claim]:
    """Claims that nobody marked as issued since ``before``, to be published again.

    Each gets a new publish id: should the first copy exist after all, the workers drop the second. With the old
    one they would take it for a redelivery and run both.
    """
    is_stuck = (_item.active, _item.state == "claimed", _item.tried_at < before)
    query = select(_item.dead_letter_id).where(*is_stuck).order_by(_item.tried_at).limit(limit)
    rows = _locked(connection, list(connection.execute(query).scalars()), *_VERSIONED, *_MESSAGE)
    # asked again, now that nobody else can change them
    stuck = connection.execute(select(_item).where(*is_stuck, among(connection, _item.dead_letter_id, rows))).all()
    for item in stuck:
        if item.tries >= MOST_TRIES:
            release(connection, item.id, f"publish failed {MOST_TRIES} times", now=now)
    fresh = [
        {**item._mapping, "publish_id": new_id(), "tries": item.tries + 1, "tried_at": now}
        for item in stuck
        if item.tries < MOST_TRIES
    ]
    tried = ("id", "publish_id", "tries", "tried_at")
    update_all(connection, table_of(_item), [{name: item[name] for name in tried} for item in fresh])
    return [_claim_of(rows[item["dead_letter_id"]], item) for item in fresh]


def reveal(connection: Connection, dead_id: str, by: Requester, *, now: datetime) -> Payload | None:
    """The sealed original of a record, after an audit row says who looked at it and why; ``None``: no such record."""
    row = _locked(connection, [dead_id], *_VERSIONED, *_MESSAGE).get(dead_id)
    if row is None:
        return None
    standing = standing_of(row)
    trail.write(connection, [audit_columns(now, dead_id, "revealed", standing.status, standing, **said_by(by))])
    return payload_of(row)


def flag_unconfirmed(connection: Connection, *, before: datetime, now: datetime) -> int:
    """Note replays whose messages are with the broker and that nobody has heard of since ``before``."""
    silent = (
        _item.state == "issued",
        _item.unconfirmed_at.is_(None),
        _item.issued_at < before,
        or_(_item.progress_at.is_(None), _item.progress_at < before),
        or_(_item.due_at.is_(None), _item.due_at < before),
    )
    lock_items(connection, and_(*silent))
    found = connection.execute(select(_item.id, _item.dead_letter_id, _item.replay_no).where(*silent)).all()
    if found:
        ids = [item.id for item in found]
        connection.execute(update(_item).where(_item.id.in_(ids)).values(unconfirmed_at=now))
        told = [
            event_columns(now, "message.unconfirmed", item.dead_letter_id, replay_no=item.replay_no) for item in found
        ]
        insert_all(connection, table_of(OutboxRow), told)
    return len(found)


class _System:
    """The requester of what happens by itself."""

    name = "system"
    source = "system"
    reason = ""

    def __init__(self, detail: str) -> None:
        self.detail = detail


def _locked(connection: Connection, ids: Sequence[str], *columns: Any) -> dict[str, AnyRow]:
    if not ids:
        return {}
    query = select(*columns).where(among(connection, _row.id, ids)).order_by(_row.id).with_for_update()
    return {row.id: row for row in connection.execute(query)}


def _holders(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Who is replaying records, and since when."""
    if not ids:
        return {}
    query = select(_item.dead_letter_id, _item.actor, _item.claimed_at).where(
        among(connection, _item.dead_letter_id, ids), _item.active
    )
    return {
        row.dead_letter_id: f"already replaying by {row.actor} since {_time(row.claimed_at)}"
        for row in connection.execute(query)
    }


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _last_task_ids(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The fresh task id of the last replay that needed one: the first one stays burnt."""
    if not ids:
        return {}
    query = (
        select(_item.dead_letter_id, _item.task_id)
        .where(among(connection, _item.dead_letter_id, ids), _item.task_id.is_not(None))
        .order_by(_item.replay_no)
    )
    return {row.dead_letter_id: row.task_id for row in connection.execute(query)}


def _not_claimable(row: AnyRow, holders: dict[str, str]) -> Verdict | None:
    if row.status not in OPEN:
        return _not_allowed(row, _OPEN_ONES.format("replayed"), holders)
    if row.emptied_at is not None:
        when = f"{row.emptied_at:%Y-%m-%d}"
        return Verdict(row.id, "refused", row.status, f"its message was dropped by retention on {when}")
    if not row.queue:
        line = "nobody knows which queue it came from, so it cannot be replayed"
        return Verdict(row.id, "refused", row.status, line)
    return None


def _not_allowed(row: AnyRow, only: str, holders: dict[str, str]) -> Verdict:
    if row.status == Status.RETRYING:
        return Verdict(row.id, "conflict", row.status, holders.get(row.id, "already replaying"))
    return Verdict(row.id, "refused", row.status, f"is {row.status}; {only}")


def _unknown(dead_id: str) -> Verdict:
    return Verdict(dead_id, "unknown", None, f"no dead letter has the id {dead_id!r}")


def _sent_line(row: AnyRow, after: Standing) -> str:
    return f"replay {after.replay_no} to {row.queue}"


def _item_columns(
    row: AnyRow, after: Standing, by: Requester, now: datetime, operation_id: str | None, task_id: str | None
) -> dict[str, Any]:
    return {
        "id": timed_id(),
        "dead_letter_id": row.id,
        "replay_no": after.replay_no,
        "publish_id": new_id(),
        "state": "claimed",
        "active": True,
        "tries": 1,
        "claimed_at": now,
        "tried_at": now,
        "previous_status": row.status,
        "operation_id": operation_id,
        "task_id": task_id,
        **said_by(by),
    }


def _claim_of(row: AnyRow, item: dict[str, Any]) -> Claim:
    payload = rewrite(
        payload_of(row),
        dead_id=row.id,
        message_id=row.message_id,
        replay_no=item["replay_no"],
        publish_id=item["publish_id"],
        operation_id=item["operation_id"],
        task_id=item["task_id"],
    )
    return Claim(item["id"], row.id, item["replay_no"], row.queue, payload)


def _change(
    connection: Connection,
    changes: Sequence[tuple[AnyRow, Standing, Standing]],
    event: str,
    by: Requester,
    now: datetime,
    operation_id: str | None = None,
) -> None:
    """Store new standings where the version is still the one seen, with their audit rows.

    Raises:
        ConflictError: somebody changed a record under us.
    """
    if not changes:
        return
    rows = [
        {"id": row.id, "version": row.version, "status_at": now, **standing_columns(after)} for row, _, after in changes
    ]
    if update_seen(connection, table_of(_row), rows) != len(changes):
        raise ConflictError("a record was changed meanwhile; nothing was done, try again")
    texts = {
        **said_by(by),
        "detail": by.detail if isinstance(by, _System) else "",
        "operation_id": operation_id,
    }
    trail.write(
        connection,
        [audit_columns(now, row.id, event, before.status, after, **texts) for row, before, after in changes],
    )
    counts = groups.Changes()
    for row, before, after in changes:
        counts.move((row.group_id, before.status), (row.group_id, after.status))
    groups.apply(connection, counts, now)

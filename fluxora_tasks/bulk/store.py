"""Bulk operations as they are kept: what an operator asks for [sqlalchemy]. What the executor does is in ``work``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, insert, select, update

from fluxora_tasks.bulk import changes, selection
from fluxora_tasks.bulk.operation import (
    PLAN_VALID,
    Item,
    Kind,
    Operation,
    Pace,
    Plan,
    PlanDrifted,
    Progress,
    Selector,
    State,
    estimated,
    has_drifted,
    left_out_lines,
    operation_of,
)
from fluxora_tasks.clock import Clock, SystemClock
from fluxora_tasks.deadletter.identity import new_id
from fluxora_tasks.errors import ConfigurationError, ConflictError, RefusedError, UnknownOperation
from fluxora_tasks.ledger import aliases, lease
from fluxora_tasks.ledger.cursors import comes_after, read_cursor, write_cursor
from fluxora_tasks.ledger.database import reading, writing
from fluxora_tasks.ledger.filters import frozen, parse
from fluxora_tasks.ledger.models import OperationItemRow, OperationRow
from fluxora_tasks.ledger.records import Requester
from fluxora_tasks.ledger.rows import LABEL_LENGTH, MESSAGE_LENGTH, storable

#: Lease of the executor.
EXECUTOR: Final = "bulk-executor"

_row = OperationRow
_item = OperationItemRow

#: What is said against sending messages of a task to their queue now; ``None``: nothing.
Holds = Callable[[str, str], str | None]


class Operations:
    """Bulk operations, for an operator. Safe for threads.

    Args:
        engine: Of the ledger.
        clock: Times of what is noted.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    # ------------------------------------------------------------------------------------------- plan

    def plan(
        self, kind: Kind, selector: Selector, pace: Pace, by: Requester, *, holds: Holds | None = None
    ) -> Operation:
        """
        Count what would be taken and keep it as a plan, valid for 15 minutes.

        Args:
            holds: Asked for warnings.

        Raises:
            ConfigurationError: the filter cannot be understood.
        """
        now = self._clock.now()
        with reading(self._engine) as connection:
            if selector.filter:
                # an age, and a group that others were merged into, mean the same records from now on
                meant = aliases.expanded(connection, frozen(parse(selector.filter), now))
                selector = replace(selector, filter=str(meant))
            if selector.ids:
                selector = replace(selector, ids=selection.oldest_first(connection, selector.ids))
            plan = _counted(connection, kind, selector, pace, now, holds)
        row = _planned_columns(kind, selector, pace, plan, by, now)
        with writing(self._engine) as connection:
            connection.execute(insert(_row).values(row))
            changes.tell(connection, row["id"], None, State.PLANNED, now=now, by=by)
        return self.get(row["id"])

    def start(self, operation_id: str, by: Requester, *, holds: Holds | None = None) -> Operation:
        """
        Let a plan run.

        Raises:
            ConfigurationError: no reason is given.
            RefusedError: the plan is too old.
            PlanDrifted: it is not true any more; it has been made anew and may be started again.
            ConflictError: it is not a plan any more.
        """
        if not by.reason.strip():
            raise ConfigurationError("an operation needs a reason: it stands in the audit")
        now = self._clock.now()
        seen = self.get(operation_id)
        if seen.state is State.PLANNED:
            self._check_plan(seen, now, holds)
        with writing(self._engine) as connection:
            changes.move(
                connection,
                replace(changes.locked(connection, operation_id), version=seen.version),
                State.RUNNING,
                now=now,
                by=by,
                started_at=now,
                actor=storable(by.name, LABEL_LENGTH),
                source=by.source,
                reason=storable(by.reason, MESSAGE_LENGTH),
            )
        return self.get(operation_id)

    # ----------------------------------------------------------------------------------------- change

    def pause(self, operation_id: str, by: Requester) -> Operation:
        """Let it send nothing more until it is resumed; one that holds by itself stays held then.

        Raises:
            ConflictError: it is not running.
        """
        now = self._clock.now()
        held = {"hold": storable(by.reason, MESSAGE_LENGTH), "held_by": changes.OPERATOR}
        with writing(self._engine) as connection:
            operation = changes.locked(connection, operation_id)
            if operation.state is State.PAUSED and operation.held_by == changes.SYSTEM:
                # from the system's hold to the operator's there is no change of state, but there is one of hands
                operation = _taken_over(connection, operation, now)
            changes.move(connection, operation, State.PAUSED, now=now, by=by, **held)
        return self.get(operation_id)

    def resume(self, operation_id: str, by: Requester) -> Operation:
        """Let it go on; what it holds for by itself, it will find again.

        Raises:
            ConflictError: it is not paused.
        """
        with writing(self._engine) as connection:
            operation = changes.locked(connection, operation_id)
            if operation.state is State.PLANNED:
                raise ConflictError(f"operation {operation_id} is planned; start it")
            changes.move(connection, operation, State.RUNNING, now=self._clock.now(), by=by, hold="", held_by="")
        return self.get(operation_id)

    def cancel(self, operation_id: str, by: Requester) -> Operation:
        """Let it send nothing more, for good; the outcomes of what was sent are still awaited.

        Raises:
            ConflictError: it has ended.
        """
        now = self._clock.now()
        with writing(self._engine) as connection:
            operation = changes.locked(connection, operation_id)
            ended: dict[str, Any] = {"ended_at": now} if operation.state is State.PLANNED else {}
            changes.move(connection, operation, State.CANCELLED, now=now, by=by, hold="", held_by="", **ended)
        return self.get(operation_id)

    # -------------------------------------------------------------------------------------------- ask

    def get(self, operation_id: str) -> Operation:
        """
        Raises:
            UnknownOperation: there is none.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(_row).where(_row.id == operation_id)).one_or_none()
        if row is None:
            raise UnknownOperation(operation_id)
        return operation_of(row)

    def ids_starting_with(self, prefix: str, *, limit: int = 2) -> list[str]:
        """At most so many ids that begin so."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        query = select(_row.id).where(_row.id >= prefix, _row.id < end).order_by(_row.id).limit(limit)
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def list(self, *, limit: int = 50, cursor: str | None = None) -> tuple[Sequence[Operation], int, str | None]:
        """One page, the newest plan first; how many there are, and the cursor of the next page.

        Raises:
            ConfigurationError: the cursor is none of ours.
        """
        query = select(_row).order_by(_row.planned_at.desc(), _row.id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(comes_after(_row.planned_at, _row.id, read_cursor(cursor)))
        with reading(self._engine) as connection:
            found = [operation_of(row) for row in connection.execute(query)]
            total = connection.execute(select(func.count()).select_from(_row)).scalar_one()
        following = write_cursor(found[limit - 1].planned_at, found[limit - 1].id) if len(found) > limit else None
        return found[:limit], total, following

    def items(
        self, operation_id: str, *, outcome: str | None = None, limit: int = 50, after: int = 0
    ) -> tuple[Sequence[Item], int, int | None]:
        """Some records of an operation, in its order; how many there are, and after which the next ones come."""
        columns = [getattr(_item, name) for name in Item.__slots__]
        condition = _item.operation_id == operation_id
        if outcome is not None:
            condition &= _item.outcome == outcome
        query = select(*columns).where(condition, _item.seq > after).order_by(_item.seq).limit(limit + 1)
        with reading(self._engine) as connection:
            found = [Item(**row._mapping) for row in connection.execute(query)]
            total = connection.execute(select(func.count()).select_from(_item).where(condition)).scalar_one()
        return found[:limit], total, found[limit - 1].seq if len(found) > limit else None

    def outcomes(self, operation_id: str) -> dict[tuple[str, str], int]:
        """Records by outcome and why."""
        query = select(_item.outcome, _item.why, func.count()).where(_item.operation_id == operation_id)
        with reading(self._engine) as connection:
            found = connection.execute(query.group_by(_item.outcome, _item.why)).all()
        return {(outcome, why): count for outcome, why, count in found}

    def executor(self) -> str | None:
        """The process that does the operations now; ``None``: there is none."""
        with reading(self._engine) as connection:
            return lease.holder(connection, EXECUTOR)

    # ------------------------------------------------------------------------------------------ inside

    def _check_plan(self, seen: Operation, now: datetime, holds: Holds | None) -> None:
        """
        Raises:
            RefusedError: it is too old.
            PlanDrifted: it was made anew.
            ConflictError: it was changed meanwhile.
        """
        if now > seen.expires_at:
            raise RefusedError(f"the plan {seen.id} is older than {PLAN_VALID / 60:.0f} minutes; make a new one")
        with reading(self._engine) as connection:
            plan = _counted(connection, seen.kind, seen.selector, seen.pace, seen.cutoff_at, holds)
        if not has_drifted(seen.planned, plan.total):
            return
        fresh = {"plan": plan.written(), "planned": plan.total, "expires_at": now + timedelta(seconds=PLAN_VALID)}
        with writing(self._engine) as connection:
            written = connection.execute(
                update(_row)
                .where(_row.id == seen.id, _row.version == seen.version)
                .values(version=_row.version + 1, **fresh)
            )
        if written.rowcount != 1:
            raise ConflictError(f"operation {seen.id} was changed meanwhile; nothing was done, look again")
        raise PlanDrifted(seen.id, seen.planned, plan)


def _counted(
    connection: Connection, kind: Kind, selector: Selector, pace: Pace, cutoff: datetime, holds: Holds | None
) -> Plan:
    """A plan, with what has to be said about it."""
    counted = selection.counts(connection, kind, selector, cutoff)
    plan = counted.plan
    warnings = left_out_lines(plan.left_out)
    unknown = len(selector.ids) - plan.total
    if selector.ids and unknown > 0:
        warnings.append(f"{unknown} of the ids lead to no record, or to one that failed again since")
    members = selection.canvas_members(connection, kind, selector, cutoff) if kind is Kind.REPLAY else 0
    if members:
        of = f"of the first {selection.LOOKED_INTO:,}" if plan.total > selection.LOOKED_INTO else "of them"
        warnings.append(f"{members:,} {of} belong to groups or chords, which go on once all their members succeeded")
    if holds is not None and kind is Kind.REPLAY:
        warnings += dict.fromkeys(line for line in (holds(*pair) for pair in counted.pairs) if line)
    return replace(plan, seconds=estimated(kind, plan.total, pace), warnings=tuple(warnings))


def _planned_columns(
    kind: Kind, selector: Selector, pace: Pace, plan: Plan, by: Requester, now: datetime
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "kind": kind.value,
        "state": State.PLANNED.value,
        "version": 1,
        "selector": selector.written(),
        "cutoff_at": now,
        "planned_at": now,
        "expires_at": now + timedelta(seconds=PLAN_VALID),
        "planned": plan.total,
        "plan": plan.written(),
        "pace": pace.written(),
        "progress": Progress().written(),
        "actor": storable(by.name, LABEL_LENGTH),
        "source": by.source,
        "reason": storable(by.reason, MESSAGE_LENGTH),
        "state_at": now,
        "listed_all": False,
        **dict.fromkeys(("detail", "hold", "held_by", "listed_key"), ""),
        **dict.fromkeys(("total", "issued", "known", "succeeded", "failed", "skipped"), 0),
    }


def _taken_over(connection: Connection, operation: Operation, now: datetime) -> Operation:
    changes.move(connection, operation, State.RUNNING, now=now, detail="an operator takes over its pause")
    return changes.locked(connection, operation.id)

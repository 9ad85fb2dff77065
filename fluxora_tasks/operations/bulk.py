"""What an operator does with many dead letters at once: plan, start, pause, resume, cancel, look."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final, Protocol

from fluxora_tasks.bulk.operation import Item, Kind, Operation, Outcome, Pace, Selector
from fluxora_tasks.bulk.store import Operations
from fluxora_tasks.errors import ConfigurationError, UnknownDeadLetter, UnknownOperation
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.acting import check_actor, check_limit, only_one
from fluxora_tasks.operations.records import Actor

_WHOLE_ID: Final = 36

#: What the id of an operation is made of.
_ID: Final = re.compile(r"[0-9a-f-]{1,36}")

#: Outcomes that are worth another replay once their cause is mended.
_FAILED: Final = (Outcome.FAILED_AGAIN, Outcome.PUBLISH_FAILED)


@dataclass(frozen=True, slots=True)
class OperationPage:
    """One page of operations, the newest plan first; ``next``: cursor of the next one."""

    items: Sequence[Operation]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some records of an operation, in its order; ``next``: cursor of the next page."""

    items: Sequence[Item]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """Records of one outcome, and why it came to it."""

    outcome: str
    why: str
    records: int


class Surroundings(Protocol):
    """What is in the way of a replay, for one plan."""

    def holds(self, task: str, queue: str) -> str | None:
        """What is said against sending messages of a task to their queue now."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class BulkOperations:
    """
    Bulk operations, for an operator. Safe for threads. An id may be the beginning of one, four characters or more.

    Args:
        store: Where they stand.
        ledger: Where their records stand.
        surroundings: Makes what a plan's warnings are asked of.
    """

    def __init__(self, store: Operations, ledger: Ledger, surroundings: Callable[[], Surroundings]) -> None:
        self._store, self._ledger, self._surroundings = store, ledger, surroundings

    # ------------------------------------------------------------------------------------------- plan

    def plan(self, kind: Kind, selector: Selector, pace: Pace, actor: Actor) -> Operation:
        """Count what an operation would take; nothing is changed. The plan may be started for 15 minutes.

        Args:
            actor: A reason is not needed yet.

        Raises:
            ConfigurationError: the filter cannot be understood, or nobody is named.
            UnknownDeadLetter: no id begins with one given.
            RefusedError: several ids do, or the beginning is too short.
        """
        if not actor.name.strip():
            raise ConfigurationError("a plan needs a name: it stands in the audit")
        whole = replace(selector, ids=tuple(self._whole_dead_id(given) for given in selector.ids))
        with closing(self._surroundings()) as surroundings:
            return self._store.plan(kind, whole, pace, actor, holds=surroundings.holds)

    def failed_of(self, id: str) -> Selector:
        """The records that failed again in an operation, or could not be published.

        Raises:
            UnknownOperation, RefusedError: the id leads to none.
        """
        outcomes = ",".join(_FAILED)
        return Selector(filter=f"op:{self._whole_id(id)} outcome:{outcomes}")

    # ----------------------------------------------------------------------------------------- change

    def start(self, id: str, actor: Actor) -> Operation:
        """Let a plan run.

        Raises:
            ConfigurationError: no name or no reason is given.
            RefusedError: the plan is too old.
            PlanDrifted: it is not true any more; it has been made anew and may be started again.
            ConflictError: it is not a plan any more.
            UnknownOperation: no id begins so.
        """
        check_actor(actor)
        with closing(self._surroundings()) as surroundings:
            return self._store.start(self._whole_id(id), actor, holds=surroundings.holds)

    def pause(self, id: str, actor: Actor) -> Operation:
        """Let it send nothing more until it is resumed.

        Raises:
            ConfigurationError: no name or no reason is given.
            ConflictError: it is not running.
            UnknownOperation: no id begins so.
        """
        check_actor(actor)
        return self._store.pause(self._whole_id(id), actor)

    def resume(self, id: str, actor: Actor) -> Operation:
        """Let it go on.

        Raises:
            ConfigurationError: no name or no reason is given.
            ConflictError: it is not paused.
            UnknownOperation: no id begins so.
        """
        check_actor(actor)
        return self._store.resume(self._whole_id(id), actor)

    def cancel(self, id: str, actor: Actor) -> Operation:
        """Let it send nothing more, for good; the outcomes of what was sent are still awaited.

        Raises:
            ConfigurationError: no name or no reason is given.
            ConflictError: it has ended.
            UnknownOperation: no id begins so.
        """
        check_actor(actor)
        return self._store.cancel(self._whole_id(id), actor)

    # -------------------------------------------------------------------------------------------- ask

    def list(self, *, limit: int = 50, cursor: str | None = None) -> OperationPage:
        """One page, the newest plan first.

        Raises:
            ConfigurationError: the limit or the cursor cannot be understood.
        """
        check_limit(limit)
        return OperationPage(*self._store.list(limit=limit, cursor=cursor))

    def get(self, id: str) -> Operation:
        """One operation.

        Raises:
            UnknownOperation: no id begins so.
            RefusedError: several do, or the beginning is too short.
        """
        return self._store.get(self._whole_id(id))

    def outcomes(self, id: str) -> Sequence[OutcomeCount]:
        """Its records by outcome, the most frequent first.

        Raises:
            UnknownOperation: no id begins so.
        """
        counted = self._store.outcomes(self._whole_id(id))
        most_first = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        return [OutcomeCount(outcome, why, records) for (outcome, why), records in most_first]

    def items(self, id: str, outcome: str | None = None, *, limit: int = 50, cursor: str | None = None) -> ItemPage:
        """Some of its records, in its order; those of one outcome only, where it is named.

        Raises:
            ConfigurationError: the outcome, the limit or the cursor cannot be understood.
            UnknownOperation: no id begins so.
        """
        check_limit(limit)
        if outcome is not None and outcome not in list(Outcome):
            raise ConfigurationError(f"no record comes to {outcome!r}; outcomes are {', '.join(Outcome)}")
        found, total, following = self._store.items(
            self._whole_id(id), outcome=outcome, limit=limit, after=_place_of(cursor)
        )
        return ItemPage(found, total, None if following is None else str(following))

    def executor(self) -> str | None:
        """The recorder that carries operations out now; ``None``: none does."""
        return self._store.executor()

    # ------------------------------------------------------------------------------------------ inside

    def _whole_id(self, given: str) -> str:
        if not _ID.fullmatch(given):
            raise UnknownOperation(given)
        return only_one(given, self._store.ids_starting_with, "operations", UnknownOperation)

    def _whole_dead_id(self, given: str) -> str:
        # a whole id that leads to nothing is one of the plan's warnings
        if len(given) >= _WHOLE_ID:
            return given
        return only_one(given, self._ledger.ids_starting_with, "dead letters", UnknownDeadLetter)


def _place_of(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 10):
        raise ConfigurationError(f"not a cursor of this list: {cursor[:80]!r}; start without one")
    return int(cursor)

"""What an operator does with groups of like failures: list, look, and say where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fluxora_tasks.errors import ConfigurationError, UnknownGroup
from fluxora_tasks.ledger.groups import STATES
from fluxora_tasks.ledger.records import Group, GroupPage, Verdict
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.acting import by_id, check_actor, check_limit, only_one
from fluxora_tasks.operations.records import ActionResult, Actor

#: In the order of their lives.
ALL_STATES: Final = ("open", "acknowledged", "ignored", "resolved", "regressed")


class Groups:
    """Groups, for an operator. Safe for threads.

    Args:
        ledger: Where they stand.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def list(self, states: Sequence[str] = (), *, limit: int = 50, cursor: str | None = None) -> GroupPage:
        """One page of the groups in these states (none: in any), newest failure first.

        Raises:
            ConfigurationError: there is no such state, or the limit or the cursor cannot be understood.
        """
        unknown = sorted(set(states) - set(ALL_STATES))
        if unknown:
            raise ConfigurationError(f"no group is ever {unknown[0]!r}; states are {', '.join(ALL_STATES)}")
        check_limit(limit)
        return self._ledger.groups(states, limit=limit, cursor=cursor)

    def get(self, id: str) -> Group:
        """One group, by its id or the beginning of it.

        Raises:
            UnknownGroup: none begins so.
            RefusedError: several do, or the beginning is too short.
        """
        return only_one(id, self._ledger.groups_starting_with, "groups", UnknownGroup)

    def set_state(self, ids: Sequence[str], state: str, actor: Actor) -> Sequence[ActionResult]:
        """Say that groups are acknowledged, ignored, resolved or open again; one result per group.

        Raises:
            ConfigurationError: no reason is given, or nobody can say this of a group.
        """
        if state not in STATES:
            raise ConfigurationError(f"nobody can make a group {state!r}; only {', '.join(STATES)}")
        check_actor(actor)

        def act(known: Sequence[str]) -> Sequence[ActionResult]:
            return _results(self._ledger.set_group_state(known, state, actor))

        return by_id(ids, lambda given: self.get(given).id, act)

    def merge(self, ids: Sequence[str], into: str, actor: Actor) -> Sequence[ActionResult]:
        """Say that groups are one with another, under whose id they show and count from now on; one result per group.

        Raises:
            ConfigurationError: no reason is given.
            UnknownGroup, RefusedError: there is no such other group, or several.
            ConflictError: it was merged itself meanwhile.
        """
        check_actor(actor)
        head = self.get(into).id

        def act(known: Sequence[str]) -> Sequence[ActionResult]:
            return _results(self._ledger.merge_groups(known, head, actor))

        return by_id(ids, lambda given: self.get(given).id, act)

    def unmerge(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        """Make merged groups groups of their own again; one result per group.

        Raises:
            ConfigurationError: no reason is given.
        """
        check_actor(actor)

        def act(known: Sequence[str]) -> Sequence[ActionResult]:
            return _results(self._ledger.unmerge_groups(known, actor))

        def whole(given: str) -> str:
            return only_one(given, self._ledger.group_ids_starting_with, "groups", UnknownGroup)

        return by_id(ids, whole, act)


def _results(verdicts: Sequence[Verdict]) -> Sequence[ActionResult]:
    return [ActionResult(one.id, one.outcome, one.status, one.detail) for one in verdicts]

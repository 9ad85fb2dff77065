"""What an operator does with groups of like failures: list, look, and say where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fluxora_tasks.errors import ConfigurationError, RefusedError, UnknownGroup
from fluxora_tasks.ledger.groups import STATES
from fluxora_tasks.ledger.records import Group, GroupPage
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.dead_letters import MOST_ROWS, SHORTEST_PREFIX
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
        if not 1 <= limit <= MOST_ROWS:
            raise ConfigurationError(f"limit is {limit}; it must be from 1 to {MOST_ROWS}")
        return self._ledger.groups(states, limit=limit, cursor=cursor)

    def get(self, id: str) -> Group:
        """One group, by its id or the beginning of it.

        Raises:
            UnknownGroup: none begins so.
            RefusedError: several do, or the beginning is too short.
        """
        if len(id) < SHORTEST_PREFIX:
            raise RefusedError(f"{id!r} is too short; give at least {SHORTEST_PREFIX} characters of the id")
        found = self._ledger.groups_starting_with(id)
        if not found:
            raise UnknownGroup(id)
        if len(found) > 1:
            raise RefusedError(f"several groups have an id that begins with {id!r}; give more of it")
        return found[0]

    def set_state(self, ids: Sequence[str], state: str, actor: Actor) -> Sequence[ActionResult]:
        """Say that groups are acknowledged, ignored, resolved or open again; one result per group.

        Raises:
            ConfigurationError: no reason is given, or nobody can say this of a group.
        """
        if state not in STATES:
            raise ConfigurationError(f"nobody can make a group {state!r}; only {', '.join(STATES)}")
        if not actor.name.strip() or not actor.reason.strip():
            raise ConfigurationError("an action needs a name and a reason: both stand in the audit")
        found = {given: self._whole_id(given) for given in dict.fromkeys(ids)}
        known = list(dict.fromkeys(item for item in found.values() if isinstance(item, str)))
        verdicts = self._ledger.set_group_state(known, state, actor)
        answers = {one.id: ActionResult(one.id, one.outcome, one.status, one.detail) for one in verdicts}
        ordered = [answers[item] if isinstance(item, str) else item for item in found.values()]
        return list({result.id: result for result in ordered}.values())

    def _whole_id(self, given: str) -> str | ActionResult:
        try:
            return self.get(given).id
        except UnknownGroup as exc:
            return ActionResult(given, "unknown", None, str(exc))
        except RefusedError as exc:
            return ActionResult(given, "refused", None, str(exc))

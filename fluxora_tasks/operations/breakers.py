"""Circuits for operators: what stands where, and what they decide about it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

from fluxora_tasks.breaker.name import checked_name
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Order, Override, Snapshot, Status, Transition
from fluxora_tasks.breaker.registry import Breakers
from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.errors import ConfigurationError, UnknownCircuit
from fluxora_tasks.ledger.filters import And, Field, Grammar, Reads, Term, all_of, holds, parse, terms_of
from fluxora_tasks.operations.acting import each, time_of, until_text
from fluxora_tasks.operations.records import ActionResult, Actor

#: What a list of circuits may be filtered by.
CIRCUITS: Final = Grammar(
    (
        Field("name", Reads.NAME),
        Field("state", Reads.CHOICE, (*CircuitState, "FORCED_OPEN", "FORCED_CLOSED", "DISABLED", "METRICS_ONLY")),
        Field("override", Reads.CHOICE, tuple(Override)),
    )
)

#: Circuits that one round trip asks about.
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class CircuitSummary:
    """One row of a list of circuits; the field names are public (``--json``).

    Attributes:
        state: What decides about calls: the override, or else the automatic state.
        failure_rate: Failures per call in the window; ``None``: no calls.
        until: OPEN: when a probe may pass.
        override_until: When the override ends by itself.
    """

    name: str
    state: str
    automatic_state: str
    calls: int
    failures: int
    slow: int
    failure_rate: float | None
    since: datetime | None
    until: datetime | None
    reason: str
    attempts: int
    generation: int
    override: str
    override_until: datetime | None
    override_by: str
    override_why: str


@dataclass(frozen=True, slots=True)
class CircuitDetail:
    """One circuit, whole.

    Attributes:
        leases: Probes under way -> seconds until their leases run out.
        reporters: Workers that saw failures in the window.
        late: Results that came too late, in all; ``refused`` calls likewise, as far as reported.
        history: The latest changes, newest first.
    """

    summary: CircuitSummary
    leases: Mapping[str, float]
    reporters: Sequence[str]
    late: int
    refused: int
    history: Sequence[Transition]


@dataclass(frozen=True, slots=True)
class CircuitPage:
    """Some circuits, how many there are, and where the next ones begin."""

    items: Sequence[CircuitSummary]
    total: int
    next: str | None


class BreakerOperations:
    """
    What an operator may do with circuits.

    Args:
        store: Where they are kept.
        policy_of: The rules of a name.
    """

    def __init__(self, store: BreakerStore, policy_of: Callable[[str], BreakerPolicy]) -> None:
        self._store = store
        self._policy_of = policy_of

    def list(self, filter_text: str = "", *, limit: int = 50, cursor: str | None = None) -> CircuitPage:
        """
        Circuits heard of in the last thirty days, by name.

        Args:
            filter_text: See ``CIRCUITS``.
            cursor: ``next`` of the page before.

        Raises:
            FilterError: with the position.
            ConfigurationError: the cursor is none of ours.
        """
        found = self.names(filter_text)
        after = "" if cursor is None else read_cursor(cursor)
        rest = [name for name in found if name > after]
        page = rest[:limit]
        return CircuitPage(list(self._summaries(page)), len(found), write_cursor(page[-1]) if rest[limit:] else None)

    def names(self, filter_text: str = "") -> Sequence[str]:
        """The names of all circuits that a filter finds; only one that asks for more than names is read for."""
        wanted = parse(filter_text, CIRCUITS)
        parts = wanted.parts if isinstance(wanted, And) else (wanted,)
        by_name = all_of(*(part for part in parts if all(term.field == "name" for term in terms_of(part))))
        named = [name for name in self._store.names() if holds(by_name, partial(_matches, name))]
        if by_name == wanted:
            return named
        return [item.name for item in self._summaries(named) if holds(wanted, partial(_has, item))]

    def get(self, name: str, history: int = 20) -> CircuitDetail:
        """
        One circuit, with its latest changes.

        Raises:
            UnknownCircuit: nobody has used it.
        """
        (status,) = self._store.read([checked_name(name)])
        if status.snapshot.generation == 0:
            raise UnknownCircuit(name, tuple(get_close_matches(name, self._store.names())))
        return CircuitDetail(
            summary=summary_of(status),
            leases={lease: left / 1000 for lease, left in status.leases.items()},
            reporters=status.reporters,
            late=status.late,
            refused=status.refused,
            history=self._store.history(name, history),
        )

    def history(self, name: str, limit: int = 50) -> Sequence[Transition]:
        """
        The latest changes, newest first.

        Raises:
            UnknownCircuit: nobody has used it.
        """
        return self.get(name, limit).history

    def force(
        self,
        names: Sequence[str],
        override: Override,
        seconds: float | None,
        actor: Actor,
        expected: int | None = None,
    ) -> Sequence[ActionResult]:
        """Decide instead of the circuits, for so many seconds; ``None``: until somebody releases them."""
        return self._each(
            names, actor, expected, lambda *one: self._store.override(one[0], override, seconds, *one[1:])
        )

    def release(
        self, names: Sequence[str], actor: Actor, soft: bool = False, expected: int | None = None
    ) -> Sequence[ActionResult]:
        """End overrides; ``soft``: a circuit that was forced open begins with probes."""

        def end(name: str, order: Order, policy: BreakerPolicy) -> Snapshot:
            return self._store.override(name, Override.NONE, None, order, policy, soft)

        return self._each(names, actor, expected, end)

    def trip(
        self, names: Sequence[str], seconds: float | None, actor: Actor, expected: int | None = None
    ) -> Sequence[ActionResult]:
        """Open circuits as if they had tripped; ``None``: for the first cooldown of their policy."""

        def open_now(name: str, order: Order, policy: BreakerPolicy) -> Snapshot:
            length = policy.cooldown if seconds is None else seconds
            return self._store.open_for(name, length, order, policy)

        return self._each(names, actor, expected, open_now)

    def reset(self, names: Sequence[str], actor: Actor, expected: int | None = None) -> Sequence[ActionResult]:
        """Close circuits, with nothing counted and no override."""
        return self._each(names, actor, expected, self._store.reset)

    def _summaries(self, names: Sequence[str]) -> Iterator[CircuitSummary]:
        for start in range(0, len(names), _AT_ONCE):
            yield from map(summary_of, self._store.read(names[start : start + _AT_ONCE]))

    def _each(
        self,
        names: Sequence[str],
        actor: Actor,
        expected: int | None,
        act: Callable[[str, Order, BreakerPolicy], Snapshot],
    ) -> Sequence[ActionResult]:
        order, known = Order(actor.name, actor.reason, expected), set(self._store.names())

        def obey(name: str) -> ActionResult:
            after = act(checked_name(name), order, self._policy_of(name))
            new = "" if name in known else "nobody has used this name yet"  # a slip of the pen looks the same
            return ActionResult(name, "done", _effective(after), "; ".join(filter(None, (_until_text(after), new))))

        return each(names, obey)


def open_breakers(breakers: Breakers) -> BreakerOperations:
    """
    The operations on the circuits of an application.

    Raises:
        ConfigurationError: there is no shared state, so each process has circuits of its own.
    """
    if breakers.store is None:
        raise ConfigurationError("circuits are shared through Redis: set FLUXORA_REDIS_URL")
    return BreakerOperations(breakers.store, breakers.policy_of)


def summary_of(status: Status) -> CircuitSummary:
    """A status as people read it (pure)."""
    one = _by_now(status.snapshot)
    calls = one.counts.calls
    return CircuitSummary(
        name=one.name,
        state=_effective(one),
        automatic_state=one.state.value,
        calls=calls,
        failures=one.counts.failures,
        slow=one.counts.slow,
        failure_rate=one.counts.failures / calls if calls else None,
        since=time_of(one.since_ms),
        until=time_of(one.until_ms),
        reason=one.reason,
        attempts=one.attempts,
        generation=one.generation,
        override=one.override.value,
        override_until=time_of(one.override_until_ms),
        override_by=one.override_by,
        override_why=one.override_why,
    )


def write_cursor(name: str) -> str:
    """Where the page after this circuit begins; opaque, because it is typed into a shell and names may be anything."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """
    Raises:
        ConfigurationError: none of ours.
    """
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as exc:
        raise ConfigurationError(f"not a cursor of this list: {cursor[:80]!r}; start without one") from exc


def _by_now(one: Snapshot) -> Snapshot:
    """With an override whose time is over ended, as the next call will find it."""
    if not 0 < one.override_until_ms <= one.now_ms:
        return one
    return replace(
        one,
        state=CircuitState.CLOSED,
        since_ms=one.override_until_ms,
        until_ms=0,
        reason="override_ended",
        override=Override.NONE,
        override_until_ms=0,
        override_by="",
        override_why="",
    )


def _effective(one: Snapshot) -> str:
    return one.state.value if one.override is Override.NONE else one.override.value


def _until_text(one: Snapshot) -> str:
    return until_text(one.override_until_ms or (one.until_ms if one.override is Override.NONE else 0))


def _has(item: CircuitSummary, term: Term) -> bool:
    return _matches(getattr(item, term.field), term)


def _matches(value: str, term: Term) -> bool:
    return fnmatchcase(value, _literal(term.value)) if term.is_wild else value == term.value


def _literal(pattern: str) -> str:
    """A pattern in which only ``*`` means anything."""
    return pattern.replace("[", "[[]").replace("?", "[?]")

"""Circuits for operators: what stands where, and what they decide about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from fluxora_tasks.breaker.name import checked_name
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Order, Override, Snapshot, Status, Transition
from fluxora_tasks.breaker.registry import Breakers
from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.errors import ConfigurationError, ConflictError, StoreUnavailable, UnknownCircuit
from fluxora_tasks.ledger.filters import Grammar, Term, parse
from fluxora_tasks.operations.records import ActionResult, Actor

#: What a list of circuits may be filtered by.
CIRCUITS: Final = Grammar(
    ("name", "state", "override"),
    {"state": [*CircuitState, "FORCED_OPEN", "FORCED_CLOSED", "DISABLED", "METRICS_ONLY"], "override": list(Override)},
    frozenset({"name"}),
)

#: Seconds that an override lasts where nothing else is said.
DEFAULT_SECONDS: Final = 3600.0


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
        breakers: The circuits of an application.

    Raises:
        ConfigurationError: there is no shared state, so each process has circuits of its own.
    """

    def __init__(self, breakers: Breakers) -> None:
        if breakers.store is None:
            raise ConfigurationError("circuits are shared through Redis: set FLUXORA_REDIS_URL")
        self._store: BreakerStore = breakers.store
        self._policy_of = breakers.policy_of

    def list(self, filter_text: str = "", *, limit: int = 50, cursor: str | None = None) -> CircuitPage:
        """
        Circuits heard of in the last thirty days, by name.

        Args:
            filter_text: See ``CIRCUITS``.
            cursor: ``next`` of the page before.

        Raises:
            FilterError: with the position.
        """
        terms = parse(filter_text, CIRCUITS)
        statuses = self._store.read(self._store.names())
        found = [item for item in map(summary_of, statuses) if all(_matches(item, term) for term in terms)]
        rest = [item for item in found if cursor is None or item.name > cursor]
        page = rest[:limit]
        return CircuitPage(page, len(found), page[-1].name if len(rest) > limit else None)

    def names(self, filter_text: str = "") -> Sequence[str]:
        """The names of all circuits that a filter finds."""
        return [item.name for item in self.list(filter_text, limit=1_000_000).items]

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

    def _each(
        self,
        names: Sequence[str],
        actor: Actor,
        expected: int | None,
        act: Callable[[str, Order, BreakerPolicy], Snapshot],
    ) -> Sequence[ActionResult]:
        order, known = Order(actor.name, actor.reason, expected), set(self._store.names())
        results = (self._done(name, order, act) for name in dict.fromkeys(names))
        return [one if one.outcome != "done" or one.id in known else _of_new(one) for one in results]

    def _done(self, name: str, order: Order, act: Callable[[str, Order, BreakerPolicy], Snapshot]) -> ActionResult:
        try:
            after = act(checked_name(name), order, self._policy_of(name))
        except ConflictError as error:
            return ActionResult(name, "conflict", None, str(error))
        except ConfigurationError as error:
            return ActionResult(name, "refused", None, str(error))
        except StoreUnavailable as error:
            return ActionResult(name, "failed", None, str(error))
        return ActionResult(name, "done", _effective(after), _until_text(after))


def summary_of(status: Status) -> CircuitSummary:
    """A status as people read it; an override whose time is over does not count (pure)."""
    one = status.snapshot
    forced = _override(one) is not Override.NONE
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
        override=_override(one).value,
        override_until=time_of(one.override_until_ms) if forced else None,
        override_by=one.override_by if forced else "",
        override_why=one.override_why if forced else "",
    )


def time_of(store_ms: int) -> datetime | None:
    """A time of the store; ``None`` for none."""
    return datetime.fromtimestamp(store_ms / 1000, UTC) if store_ms else None


def _override(one: Snapshot) -> Override:
    is_over = 0 < one.override_until_ms <= one.now_ms
    return Override.NONE if is_over else one.override


def _effective(one: Snapshot) -> str:
    override = _override(one)
    return one.state.value if override is Override.NONE else override.value


def _until_text(one: Snapshot) -> str:
    until = one.override_until_ms if _override(one) is not Override.NONE else one.until_ms
    moment = time_of(until)
    return f"until {moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""


def _of_new(result: ActionResult) -> ActionResult:
    """A circuit may be decided about before its first use; a slip of the pen looks the same."""
    return replace(result, detail="; ".join(filter(None, (result.detail, "nobody has used this name yet"))))


def _matches(item: CircuitSummary, term: Term) -> bool:
    value: str = getattr(item, term.field)
    return fnmatchcase(value, _literal(term.value)) if term.is_wild else value == term.value


def _literal(pattern: str) -> str:
    """A pattern in which only ``*`` means anything."""
    return pattern.replace("[", "[[]").replace("?", "[?]")

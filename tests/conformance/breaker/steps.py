"""Histories of a circuit as lists of steps: what is asked of a store at what time, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Admission, Counts, Order, Override, Report, Result, Snapshot
from fluxora_tasks.breaker.store import BreakerStore
from tests.conformance.breaker.hands import HeldClock

Step = Callable[["Play"], None]

NAME = "payments"

#: Whole numbers in the expectations: no jitter, windows and cooldowns that are easily added.
POLICY = BreakerPolicy(window=60, buckets=6, min_calls=10, cooldown=5, cooldown_max=60, jitter=0)


@dataclass
class Play:
    """
    A history while it is played.

    Attributes:
        snapshot: The last answer.
        generations: Label -> generation that was noted under it; ``unknown``: of a worker without knowledge.
        told: Lines of history seen so far.
    """

    store: BreakerStore
    clock: HeldClock
    policy: BreakerPolicy = POLICY
    snapshot: Snapshot = field(default_factory=lambda: Snapshot(NAME))
    generations: dict[str, int] = field(default_factory=lambda: {"unknown": 0})
    told: int = 0

    def run(self, history: Sequence[Step]) -> None:
        """Play it."""
        for step in history:
            step(self)

    def generation(self, label: str | None) -> int:
        """The latest one, or the one that was noted under this label."""
        return self.snapshot.generation if label is None else self.generations[label]


def after(seconds: float) -> Step:
    """Time passes."""

    def step(play: Play) -> None:
        play.clock.pass_(seconds)

    return step


def under(policy: BreakerPolicy) -> Step:
    """Whoever asks from now on has this policy."""

    def step(play: Play) -> None:
        play.policy = policy

    return step


def note(label: str) -> Step:
    """Keep the generation of now for later."""

    def step(play: Play) -> None:
        play.generations[label] = play.snapshot.generation

    return step


def report(
    calls: int = 0,
    failures: int = 0,
    slow: int = 0,
    *,
    by: str = "w1",
    of: str | None = None,
    trip: float | None = None,
    refused: int = 0,
) -> Step:
    """A worker reports what it saw."""

    def step(play: Play) -> None:
        trip_ms = None if trip is None else round(trip * 1000)
        counts = Counts(calls, failures, slow)
        one = Report(NAME, play.policy, play.generation(of), counts, trip_ms, refused)
        (play.snapshot,) = play.store.flush([one], by)

    return step


def ask(lease: str = "p1", *, gets: str, again: float | None = None) -> Step:
    """A worker asks for a permit, and gets a ``probe``, a ``permit`` or ``nothing`` until ``again`` s from now."""

    def step(play: Play) -> None:
        answer = play.store.admit(NAME, lease, play.policy, "w1")
        assert _kind(answer) == gets
        if again is not None:
            assert answer.ask_again_ms - play.clock() == round(again * 1000)
        play.snapshot = answer.snapshot

    return step


def _kind(answer: Admission) -> str:
    if not answer.granted:
        return "nothing"
    return "probe" if answer.lease else "permit"


def end(lease: str = "p1", result: Result = Result.SUCCESS, *, slow: bool = False, of: str | None = None) -> Step:
    """A probe ends."""

    def step(play: Play) -> None:
        play.snapshot = play.store.settle(NAME, play.generation(of), lease, result, slow, play.policy, "w1")

    return step


def renew(lease: str = "p1", *, lives: bool = True) -> Step:
    """A probe that is still under way gives a sign of life."""

    def step(play: Play) -> None:
        assert play.store.renew(NAME, lease, play.policy) is lives

    return step


def override(which: Override, seconds: float | None = None, *, soft: bool = False) -> Step:
    """An operator decides."""

    def step(play: Play) -> None:
        play.snapshot = play.store.override(NAME, which, seconds, Order("zoë", "why"), play.policy, soft)

    return step


def open_for(seconds: float) -> Step:
    """An operator opens the circuit."""

    def step(play: Play) -> None:
        play.snapshot = play.store.open_for(NAME, seconds, Order("zoë", "why"), play.policy)

    return step


def reset() -> Step:
    """An operator begins anew."""

    def step(play: Play) -> None:
        play.snapshot = play.store.reset(NAME, Order("zoë", "why"), play.policy)

    return step


def stands(state: str, *, rest: float | None = None, **fields: Any) -> Step:
    """
    The last answer says so.

    Args:
        state: The automatic one.
        rest: Seconds until a probe may pass.
        fields: Of the snapshot; ``counts`` as a tuple.
    """

    def step(play: Play) -> None:
        seen = play.snapshot
        assert seen.state == state
        if rest is not None:
            assert seen.until_ms - play.clock() == round(rest * 1000)
        wanted = {name: Counts(*value) if name == "counts" else value for name, value in fields.items()}
        assert {name: getattr(seen, name) for name in wanted} == wanted

    return step


def known(**fields: Any) -> Step:
    """What people are told says so: counts as a tuple, leases in seconds, reporters, late, refused."""

    def step(play: Play) -> None:
        (status,) = play.store.read([NAME])
        counts = status.snapshot.counts
        seen = {
            "counts": (counts.calls, counts.failures, counts.slow),
            "leases": {lease: rest_ms / 1000 for lease, rest_ms in status.leases.items()},
            "reporters": status.reporters,
            "late": status.late,
            "refused": status.refused,
        }
        assert {name: seen[name] for name in fields} == fields

    return step


def newer(than: str) -> Step:
    """The generation is another, greater one."""

    def step(play: Play) -> None:
        assert play.snapshot.generation > play.generations[than]

    return step


def same(generation: str) -> Step:
    """The generation is still this one."""

    def step(play: Play) -> None:
        assert play.snapshot.generation == play.generations[generation]

    return step


def told(*events: str) -> Step:
    """These lines, oldest first, are what history has gained since the last look; ``event reason`` each."""

    def step(play: Play) -> None:
        lines = play.store.history(NAME, 200)
        new = lines[: len(lines) - play.told]
        play.told = len(lines)
        assert [f"{line.event} {line.reason}".strip() for line in reversed(new)] == list(events)

    return step

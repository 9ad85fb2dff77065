"""The rules written twice are the same rules: random histories on the store in memory and on the scripts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Counts, Order, Override, Report, Result, Snapshot
from fluxora_tasks.breaker.store import BreakerStore
from fluxora_tasks.breaker.stores.memory import MemoryBreakerStore
from fluxora_tasks.breaker.stores.redis import RedisBreakerStore
from fluxora_tasks.errors import ConflictError
from tests.conformance.breaker.hands import FakeState, HeldChance, HeldClock

NAME = "a"

#: Opens soon, probes two at once; no number is a multiple of another.
QUICK = BreakerPolicy(
    window=7, buckets=7, min_calls=4, all_failed=3, cooldown=1.3335, multiplier=1.7, cooldown_max=9.1235, jitter=0.3,
    probes=3, probes_required=2, concurrent_probes=2, probe_lease=5, half_open_max=11, attempt_decay=2.5,
)  # fmt: skip
POLICIES = (
    QUICK,
    # buckets of the same length, but fewer; needs two workers
    replace(QUICK, window=5, buckets=5, min_reporters=2, cooldown=0),
    # other buckets, slow calls, one probe, no limit of a round
    replace(QUICK, window=20, buckets=3, slow_call=1, slow_rate=0.4, probes=1, probes_required=1, half_open_max=None),
)

Wanted = Callable[[BreakerStore, Order, BreakerPolicy], Snapshot]


def _override(which: Override, seconds: float | None, soft: bool) -> Wanted:
    return lambda store, order, policy: store.override(NAME, which, seconds, order, policy, soft)


def _open_for(seconds: float) -> Wanted:
    return lambda store, order, policy: store.open_for(NAME, seconds, order, policy)


def _reset(store: BreakerStore, order: Order, policy: BreakerPolicy) -> Snapshot:
    return store.reset(NAME, order, policy)


overrides = st.builds(_override, st.sampled_from(Override), st.sampled_from([None, 0.0005, 1, 4.5, 30]), st.booleans())
orders = st.one_of(overrides, st.builds(_open_for, st.sampled_from([0, 0.0005, 3, 100])), st.just(_reset))
# mostly the first one
policies = st.sampled_from([*POLICIES, POLICIES[0], POLICIES[0], POLICIES[0]])
reporters = st.sampled_from(["w1", "w2", "w3"])
leases = st.sampled_from(["p1", "p2", "p3", "p4"])
#: Which generation somebody knows: 0, the one now, or the one that many changes ago.
ages = st.sampled_from(["unknown", 0, 0, 0, 0, 1, 2])


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    """What a worker sees: failures and slow calls are among the calls."""
    calls = draw(st.integers(0, 6))
    return Counts(calls, draw(st.integers(0, calls)), draw(st.sampled_from([0, 0, calls // 2])))


class Both(RuleBasedStateMachine):
    """One history, played on both at once."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.chance = HeldClock(), HeldChance()
        self.memory = MemoryBreakerStore(self.clock, self.chance)
        self.scripts = RedisBreakerStore(FakeState(), self.chance, self.clock)
        self.generations = [0]

    def both(self, ask: Callable[[BreakerStore], Any]) -> Any:
        """The answer of either, which is that of the other."""
        answer = _said(ask, self.memory)
        assert answer == _said(ask, self.scripts)
        return answer

    def change(self, ask: Callable[[BreakerStore], Any]) -> None:
        """A step whose answer is, or has, a snapshot; its generation is kept."""
        answer = self.both(ask)
        if isinstance(answer, Snapshot) and answer.generation != self.generations[-1]:
            self.generations.append(answer.generation)

    def generation(self, age: int | str) -> int:
        """One that somebody may know."""
        return 0 if age == "unknown" else self.generations[-1 - min(int(age), len(self.generations) - 1)]

    @initialize(policy=policies, reporter=reporters)
    def heard_of(self, policy: BreakerPolicy, reporter: str) -> None:
        """A worker comes."""
        self.change(lambda store: store.flush([Report(NAME, policy, 0)], reporter)[0])

    @rule(seconds=st.sampled_from([0.001, 0.4, 1, 1.734, 2.5, 5, 7, 11, 40]), chance=st.sampled_from([0, 0.37, 0.999]))
    def pass_time(self, seconds: float, chance: float) -> None:
        """Time passes, and chance is another."""
        self.clock.pass_(seconds)
        self.chance.number = chance

    @rule(
        policy=policies,
        reporter=reporters,
        seen=counts(),
        trip_ms=st.sampled_from([None, None, None, None, 0, 1234, 1_000_000]),
        refused=st.sampled_from([0, 0, 3]),
        age=ages,
    )
    def report(
        self, policy: BreakerPolicy, reporter: str, seen: Counts, trip_ms: int | None, refused: int, age: int | str
    ) -> None:
        """A worker reports."""
        report = Report(NAME, policy, self.generation(age), seen, trip_ms, refused)
        self.change(lambda store: store.flush([report], reporter)[0])

    @rule(policy=policies, reporter=reporters)
    def fail(self, policy: BreakerPolicy, reporter: str) -> None:
        """A worker sees nothing but failures."""
        report = Report(NAME, policy, self.generations[-1], Counts(3, 3))
        self.change(lambda store: store.flush([report], reporter)[0])

    @rule(policy=policies, lease=leases, reporter=reporters)
    def ask(self, policy: BreakerPolicy, lease: str, reporter: str) -> None:
        """A worker asks for a permit."""
        answer = self.both(lambda store: store.admit(NAME, lease, policy, reporter))
        self.change(lambda _: answer.snapshot)

    @rule(policy=policies)
    def ask_in_time(self, policy: BreakerPolicy) -> None:
        """A worker asks for a permit when the time has come."""
        (status,) = self.memory.read([NAME])
        self.clock.now_ms = max(self.clock.now_ms, status.snapshot.until_ms)
        self.ask(policy, "p1", "w1")

    @rule(policy=policies, lease=leases, result=st.sampled_from(Result), slow=st.booleans(), age=ages)
    def settle(self, policy: BreakerPolicy, lease: str, result: Result, slow: bool, age: int | str) -> None:
        """A probe ends."""
        generation = self.generation(age)
        self.change(lambda store: store.settle(NAME, generation, lease, result, slow, policy, "w1"))

    @rule(policy=policies, results=st.lists(st.sampled_from(Result), min_size=1, max_size=3))
    def probe(self, policy: BreakerPolicy, results: list[Result]) -> None:
        """Probes, one after the other, when the time has come."""
        for result in results:
            self.ask_in_time(policy)
            self.settle(policy, "p1", result, False, 0)

    @rule(policy=policies, lease=leases)
    def renew(self, policy: BreakerPolicy, lease: str) -> None:
        """A probe gives a sign of life."""
        self.both(lambda store: store.renew(NAME, lease, policy))

    @rule(policy=policies, wanted=orders, age=ages)
    def obey(self, policy: BreakerPolicy, wanted: Wanted, age: int | str) -> None:
        """An operator wants something of the circuit that was seen, if it still is that one."""
        order = Order("zoë", "why", self.generation(age))
        self.change(lambda store: wanted(store, order, policy))

    @invariant()
    def is_the_same(self) -> None:
        """People are told the same by both."""
        self.both(lambda store: (store.read([NAME]), store.history(NAME), store.names()))


def _said(ask: Callable[[BreakerStore], Any], store: BreakerStore) -> Any:
    try:
        return ask(store)
    except ConflictError as conflict:
        return str(conflict)


def test_both_forms_of_the_rules_are_the_same() -> None:
    """Whatever happens to a circuit, both stores answer, keep and tell the same."""
    bounded = settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True, database=None)
    run_state_machine_as_test(Both, settings=bounded)

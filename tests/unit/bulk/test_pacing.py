"""The pace of a bulk replay: canary, rate, ramp, holds and stops."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fluxora_tasks.bulk.operation import Pace, Progress
from fluxora_tasks.bulk.pacing import Abort, Complete, Ended, Facts, Hold, Issue, Wait, decide, heard, slowed, spent

OK = Ended(is_success=True)
UNHEARD = Ended(is_success=False, is_known=False)
NEW = Ended(is_success=False)
SAME = Ended(is_success=False, same_group="g1", label="ValueError in demand")


def facts(**given: Any) -> Facts:
    """A replay of 1,000 records that has just begun."""
    known: dict[str, Any] = {
        "now": 1000.0,
        "pace": Pace(),
        "progress": Progress(),
        "records": 1000,
        "pending": 1000,
        "in_flight": 0,
    }
    return Facts(**{**known, **given})


def steady(**given: Any) -> Progress:
    """Past the canary, with tokens to spend."""
    known: dict[str, Any] = {"is_canary": False, "rate": 10.0, "tokens": 10.0, "filled_at": 1000.0, "heard_at": 1000.0}
    return Progress(**{**known, **given})


class Run:
    """A replay from start to end, on a clock that jumps from decision to decision."""

    def __init__(self, pace: Pace, records: int, seed: int, delay: float, failing: float) -> None:
        self.random = Random(seed)
        self.delay, self.failing = delay, failing
        self.facts = facts(pace=pace, records=records, pending=records)
        self.under_way: list[float] = []
        self.sent: list[float] = []
        self.most = 0

    def step(self) -> str:
        """One decision, carried out; returns its name."""
        self._learn()
        decision = decide(self.facts)
        wait = 0.0
        if isinstance(decision, Issue):
            self._send(decision)
            wait = decision.wait
        elif isinstance(decision, Wait):
            wait = decision.seconds
        elif isinstance(decision, Hold):
            self.facts = replace(self.facts, progress=decision.progress)
            wait = decision.wait
        assert wait > 0 or isinstance(decision, (Abort, Complete))
        if self.under_way and not isinstance(decision, Issue):
            # it may look late: of looks that would find nothing, few are taken
            wait = max(wait, min(min(self.under_way) - self.facts.now, 30.0))
        self.facts = replace(self.facts, now=self.facts.now + wait)
        return type(decision).__name__

    def _learn(self) -> None:
        due = [at for at in self.under_way if at <= self.facts.now]
        if not due:
            return
        self.under_way = [at for at in self.under_way if at > self.facts.now]
        outcomes = [NEW if self.random.random() < self.failing else OK for _ in due]
        progress = heard(self.facts.progress, outcomes, self.facts.pace, self.facts.now)
        self.facts = replace(self.facts, progress=progress, in_flight=len(self.under_way))

    def _send(self, decision: Issue) -> None:
        now = self.facts.now
        assert 1 <= decision.count <= self.facts.pending
        self.sent += [now] * decision.count
        self.under_way += [now + self.random.random() * self.delay for _ in range(decision.count)]
        self.facts = replace(
            self.facts,
            progress=spent(decision.progress, decision.count, self.facts.in_flight, now),
            pending=self.facts.pending - decision.count,
            in_flight=len(self.under_way),
        )
        self.most = max(self.most, len(self.under_way))


@settings(deadline=None, max_examples=60)
@given(
    rate=st.floats(0.5, 200),
    most=st.integers(1, 300),
    canary=st.none() | st.integers(0, 50),
    ramp=st.booleans(),
    records=st.integers(0, 400),
    delay=st.sampled_from([0.0, 0.1, 5.0, 1000.0]),
    failing=st.sampled_from([0.0, 0.03, 0.5]),
    seed=st.integers(0, 999),
)
@example(rate=1.0, most=1, canary=None, ramp=False, records=400, delay=1000.0, failing=0.0, seed=0)
def test_the_bounds_hold_and_it_ends(
    rate: float, most: int, canary: int | None, ramp: bool, records: int, delay: float, failing: float, seed: int
) -> None:
    """Never more under way than allowed, never faster than the rate plus one burst, and an end each time."""
    pace = Pace(rate=rate, max_in_flight=most, canary=canary, ramp=ramp)
    run = Run(pace, records, seed, delay, failing)

    last = next((name for name in (run.step() for _ in range(40_000)) if name in ("Abort", "Complete")), None)

    assert last is not None
    assert run.most <= most
    if last == "Complete":
        assert len(run.sent) == records
    burst = max(1.0, pace.ceiling)
    for start in range(0, len(run.sent), 7):
        for end in range(start, len(run.sent), 11):
            span = run.sent[end] - run.sent[start]
            assert end - start + 1 <= pace.ceiling * span + burst + 1e-6


def test_a_canary_goes_first_and_its_outcomes_are_awaited() -> None:
    """Ten of a thousand, then nothing until the last of them is known."""
    waiting = facts(pending=990, in_flight=1, progress=steady(is_canary=True, sent=10, succeeded=9))
    assert isinstance(decide(waiting), Wait)
    assert isinstance(decide(replace(waiting, in_flight=0)), Issue)

    almost = facts(pending=993, in_flight=7, progress=steady(is_canary=True, sent=7))
    decision = decide(almost)
    assert isinstance(decision, Issue)
    assert decision.count == 3


def test_a_cause_that_is_not_fixed_stops_it() -> None:
    """Five of the canary that fail as before are enough, and it is said which group and how many."""
    progress = heard(steady(is_canary=True, sent=10), [SAME] * 4, Pace(), 1000.0)
    assert isinstance(decide(facts(pending=990, progress=progress)), Issue)

    progress = heard(progress, [SAME] * 6, Pace(), 1001.0)
    decision = decide(facts(pending=990, progress=progress))
    assert decision == Abort(
        "cause not fixed: 10 of the first 10 outcomes failed again as before (group g1: ValueError in demand)"
    )


@pytest.mark.parametrize(("failures", "stops"), [(4, False), (5, True)])
def test_too_many_failures_stop_it(failures: int, stops: bool) -> None:
    """More than 20 % of at least twenty outcomes, whatever their groups."""
    progress = heard(steady(), [NEW] * failures + [OK] * (20 - failures), Pace(), 1000.0)
    decision = decide(facts(pending=900, progress=progress))
    assert isinstance(decision, Abort) is stops
    if isinstance(decision, Abort):
        assert decision.reason == "5 of the last 20 outcomes failed; 20% are allowed"


def test_only_the_latest_outcomes_count() -> None:
    """Failures of long ago are forgotten; fewer than five stop nothing."""
    progress = heard(steady(), [NEW] * 4, Pace(), 1000.0)
    assert not isinstance(decide(facts(progress=progress)), Abort)
    for _ in range(3):
        progress = heard(progress, [OK] * 40, Pace(), 1000.0)
    progress = heard(progress, [NEW] * 4, Pace(), 1000.0)
    assert not isinstance(decide(facts(progress=progress)), Abort)


def test_nothing_is_left_to_stop() -> None:
    """Where all is sent and known it has completed, failures or not."""
    progress = heard(steady(is_canary=True, sent=8), [SAME] * 8, Pace(), 1000.0)
    assert decide(facts(pending=0, progress=progress)) == Complete()


def test_the_rate_doubles_after_a_good_step() -> None:
    """Up to the highest rate; after a step with more than 5 % failures it stays."""
    pace = Pace(max_rate=35)
    progress = steady()
    rates = []
    for _ in range(4):
        for _ in range(200):
            before = progress.rate
            progress = heard(progress, [OK], pace, 1000.0)
            if progress.rate != before:
                break
        rates.append(progress.rate)
    assert rates == [20.0, 35.0, 35.0, 35.0]
    assert heard(steady(), [OK] * 46 + [NEW] * 4, pace, 1000.0).rate == 10.0
    assert heard(steady(), [OK] * 50, Pace(ramp=False), 1000.0).rate == 10.0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"breaker": "circuit x is OPEN"}, "circuit x is OPEN"),
        ({"away": "no worker consumes the queue 'q'"}, "no worker consumes the queue 'q'"),
        ({"lag": 61.0}, "the ledger lags 61 s behind; 60 s are allowed"),
        ({"now": 2000.0, "in_flight": 3}, "no outcome for 17 min of 3 messages; is a worker running?"),
    ],
)
def test_it_holds_and_says_why(given: dict[str, Any], reason: str) -> None:
    """What is in the way may pass."""
    decision = decide(facts(**{"progress": steady(), **given}))
    assert isinstance(decision, Hold)
    assert decision.reason == reason


@pytest.mark.parametrize("given", [{"lag": 59.0}, {"lag": None}, {"now": 1800.0, "in_flight": 3}])
def test_it_does_not_hold_for_less(given: dict[str, Any]) -> None:
    """Below the limits, and where nothing is known."""
    assert not isinstance(decide(facts(**{"progress": steady(), **given})), Hold)


def test_a_canary_that_nobody_heard_of_is_none() -> None:
    """It holds until there is an outcome; where an operator declared all of them lost, it goes on."""
    silent = replace(steady(sent=10), is_canary=True)
    held = decide(facts(progress=silent, unconfirmed=10))
    assert isinstance(held, Hold)
    assert held.reason == "nobody has heard of the canary's 10 messages; is a worker running?"
    assert isinstance(decide(facts(progress=replace(silent, sent=9), unconfirmed=9)), Issue)
    assert isinstance(decide(facts(progress=heard(silent, [OK], Pace(), 1000.0), unconfirmed=9)), Issue)
    assert isinstance(decide(facts(progress=silent, unconfirmed=0)), Issue)
    assert isinstance(decide(facts(progress=silent, unconfirmed=10, pending=0)), Complete)


def test_silence_is_asked_by_one_message_at_a_time() -> None:
    """Where the latest news is that nobody was heard of; one outcome, and it goes on as before. It is no failure."""
    silent = heard(steady(), [OK, *[UNHEARD] * 100], Pace(), 1000.0)
    asking = decide(facts(progress=silent))
    assert isinstance(asking, Issue)
    assert asking.count == 1
    assert isinstance(decide(facts(progress=silent, in_flight=1)), Wait)
    assert (silent.succeeded, silent.failed) == (1, 0)

    answered = decide(facts(progress=heard(silent, [OK], Pace(), 1000.0)))
    assert isinstance(answered, Issue)
    assert answered.count > 1


def test_after_the_circuit_it_goes_on_as_a_canary() -> None:
    """From the first rate, and with its outcomes awaited."""
    fast = steady(rate=80.0, tokens=80.0)
    held = decide(facts(progress=fast, breaker="circuit x is OPEN"))
    assert isinstance(held, Hold)
    decision = decide(facts(now=2000.0, progress=held.progress))
    assert isinstance(decision, Issue)
    assert (decision.progress.is_canary, decision.progress.rate, decision.count) == (True, 10.0, 10)
    assert slowed(fast).recent == fast.recent


def test_a_queue_without_a_consumer_does_not_slow_it_down() -> None:
    """Only the circuit does."""
    held = decide(facts(progress=steady(rate=80.0), away="no worker"))
    assert isinstance(held, Hold)
    assert held.progress.rate == 80.0


@pytest.mark.parametrize(("tokens", "count"), [(2.0, 2), (0.0, 1), (-3.0, 1)])
def test_a_clock_that_goes_back_gives_one_token(tokens: float, count: int) -> None:
    """So that its time is taken on with the first message; it takes none away."""
    decision = decide(facts(now=500.0, progress=steady(tokens=tokens)))
    assert isinstance(decision, Issue)
    assert (decision.count, decision.progress.filled_at) == (count, 500.0)


def test_the_first_message_after_a_rest_begins_the_wait_anew() -> None:
    """Silence is counted only while something is awaited."""
    rested = spent(steady(heard_at=10.0), 1, 0, 1000.0)
    assert rested.heard_at == 1000.0
    assert spent(steady(heard_at=10.0), 1, 5, 1000.0).heard_at == 10.0

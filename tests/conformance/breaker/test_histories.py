"""What every keeper of circuits promises: the same histories in memory, on fakeredis, and on real servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fluxora_tasks.breaker.record import Override, Result
from fluxora_tasks.breaker.store import BreakerStore
from tests.conformance.breaker.hands import HeldClock
from tests.conformance.breaker.steps import (
    POLICY,
    Play,
    Step,
    after,
    ask,
    end,
    known,
    newer,
    note,
    open_for,
    override,
    renew,
    report,
    reset,
    same,
    stands,
    told,
    under,
)

OPEN, CLOSED, HALF_OPEN = "OPEN", "CLOSED", "HALF_OPEN"
FAILURE, EXCLUDED = Result.FAILURE, Result.EXCLUDED
FORCED_OPEN, FORCED_CLOSED = Override.FORCED_OPEN, Override.FORCED_CLOSED
DISABLED, METRICS_ONLY, NONE = Override.DISABLED, Override.METRICS_ONLY, Override.NONE

#: Five failures and no success.
TRIP = report(5, 5)
#: From CLOSED to the first probe of a round.
PROBING = (TRIP, after(5), ask("p1", gets="probe"))

SLOW = replace(POLICY, slow_call=1.0, slow_rate=0.5)
ONE_PROBE = replace(POLICY, probes=1, probes_required=1)
THREE_AT_ONCE = replace(POLICY, concurrent_probes=3)
TWO_OF_THREE = replace(THREE_AT_ONCE, probes_required=2)
TWO_REPORTERS = replace(POLICY, min_reporters=2)
TWENTY_SECONDS = replace(POLICY, half_open_max=20)
NO_GROWTH = replace(POLICY, cooldown_max=5)
#: Sees the same buckets under the same numbers, but in other slots.
FIVE_BUCKETS = replace(POLICY, window=50, buckets=5)
#: Numbers its buckets otherwise.
SHORT = replace(POLICY, window=10, buckets=10)


def histories(**cases: Sequence[Step]) -> pytest.MarkDecorator:
    """One run of the test per history."""
    named = [pytest.param(steps, id=name.replace("_", "-")) for name, steps in cases.items()]
    return pytest.mark.parametrize("history", named)


@pytest.fixture
def play(keeper: BreakerStore, clock: HeldClock) -> Play:
    return Play(keeper, clock)


# --------------------------------------------------------------------------------------------- CLOSED


@histories(
    below_min_calls=[report(9, 4), stands(CLOSED, counts=(9, 4, 0)), told()],
    # half of ten calls: equality counts as exceeded
    failure_rate_reached=[report(10, 5), stands(OPEN, rest=5, reason="failure_rate", counts=(0, 0, 0), attempts=1)],
    failure_rate_missed=[report(11, 5), stands(CLOSED, counts=(11, 5, 0))],
    sum_of_workers=[report(6, 3), report(2, by="w2"), report(2, 2, by="w3"), stands(OPEN, reason="failure_rate")],
    # the window breaks a rule now, but by a success
    success_opens_nothing=[report(4, 4), under(replace(POLICY, failure_rate=0.1)), report(6), stands(CLOSED)],
    slow_rate_reached=[under(SLOW), report(10, 0, 5), stands(OPEN, reason="slow_rate")],
    slow_rate_missed=[under(SLOW), report(10, 0, 4), stands(CLOSED, counts=(10, 0, 4))],
    all_failed_reached=[report(4, 4), stands(CLOSED), report(1, 1), stands(OPEN, reason="all_failed")],
    all_failed_but_one=[report(6, 5), stands(CLOSED)],
    all_failed_is_off=[under(replace(POLICY, all_failed=None)), report(9, 9), stands(CLOSED)],
    tripped=[report(1, 1, trip=0), stands(OPEN, rest=5, reason="tripped", attempts=1)],
    # a returned value may trip, too
    tripped_by_a_success=[report(1, trip=0), stands(OPEN, reason="tripped", last_failure_ms=0)],
    tripped_for_its_own_time=[report(1, 1, trip=30), stands(OPEN, rest=30, attempts=1)],
    tripped_for_the_longest_time=[report(1, 1, trip=3600), stands(OPEN, rest=60)],
    # six buckets of ten seconds
    window_holds=[report(4, 4), after(50), report(1, 1), stands(OPEN)],
    window_forgets=[report(4, 4), after(60), report(1, 1), stands(CLOSED, counts=(1, 1, 0))],
    window_seen_later=[report(4, 1), after(59), report(), stands(CLOSED, counts=(4, 1, 0)), after(1), report(),
                       stands(CLOSED, counts=(0, 0, 0))],
    # the sums that a report left are those of its bucket alone
    window_goes_on=[report(3, 1, 1), report(2), report(1), stands(CLOSED, counts=(6, 1, 1)), after(50), report(2),
                    report(1), stands(CLOSED, counts=(9, 1, 1)), after(10), report(),
                    stands(CLOSED, counts=(3, 0, 0)), report(1), report(4, 3, 1), report(1),
                    stands(CLOSED, counts=(9, 3, 1))],
    nothing_to_report=[report(), stands(CLOSED, counts=(0, 0, 0), reason=""), told()],
    everybody_passes=[ask(gets="permit"), report(1), ask(gets="permit"), stands(CLOSED, issued=0), known(leases={})],
)  # fmt: skip
def test_closed(play: Play, history: Sequence[Step]) -> None:
    """A circuit opens when its window breaks a rule, by failures and slow calls only."""
    play.run(history)


@histories(
    alone=[report(5, 5), report(5, 5), stands(CLOSED), known(reporters=("w1",))],
    two=[report(5, 5), stands(CLOSED), report(1, 1, by="w2"), stands(OPEN), known(reporters=())],
    who_saw_successes_is_none=[report(5, 5), report(1, by="w2"), report(9, 9), stands(CLOSED)],
    who_saw_slow_calls_is_one=[report(9, 9), report(1, 0, 1, by="w2"), stands(OPEN)],
    who_trips_is_one=[report(1, trip=0), stands(CLOSED), report(1, trip=0, by="w2"), stands(OPEN, reason="tripped")],
    forgotten_with_the_window=[report(5, 5), after(60), report(5, 5, by="w2"), known(reporters=("w2",))],
    seen_again_in_time=[report(9, 1), after(50), report(9, 1), after(50), report(9, 1, by="w2"),
                        known(reporters=("w1", "w2"))],
    # of more than 32 the first ones are told apart
    first_ones_stay=[*(report(9, 1, by=f"w{n}") for n in range(10, 50)),
                     known(reporters=tuple(f"w{n}" for n in range(10, 42)))],
)  # fmt: skip
def test_reporters(play: Play, history: Sequence[Step]) -> None:
    """As many workers as the policy says must have seen failures in the window."""
    play.policy = TWO_REPORTERS
    play.run(history)


# ----------------------------------------------------------------------------------------------- OPEN


@histories(
    before_its_time=[TRIP, after(4.999), ask(gets="nothing", again=0.001), stands(OPEN)],
    at_its_time=[TRIP, after(5), ask(gets="probe"), stands(HALF_OPEN, reason="cooldown_over", issued=1, until_ms=0),
                 known(leases={"p1": 30}), told("opened all_failed", "half_opened cooldown_over")],
    # nobody asks: nothing changes, whatever time it is
    nobody_asks=[TRIP, after(3600), report(), stands(OPEN)],
    open_at_once=[under(replace(POLICY, cooldown=0)), TRIP, stands(OPEN, rest=0), ask(gets="probe")],
    results_are_late=[report(), note("closed"), TRIP, note("open"), report(3, 3, of="closed"), same("open"),
                      stands(OPEN, rest=5), known(late=3)],
    # it has not heard of the circuit, which is not CLOSED
    without_knowledge_too=[TRIP, report(3, 3, of="unknown"), known(late=3), stands(OPEN)],
    even_with_its_generation=[TRIP, report(3, 3), known(late=3), stands(OPEN, last_failure_ms=1_700_000_000_000)],
    refused=[TRIP, report(refused=7), report(1, 1, refused=2), known(refused=9, late=1)],
)  # fmt: skip
def test_open(play: Play, history: Sequence[Step]) -> None:
    """An open circuit waits for the first request after its time; results change nothing."""
    play.run(history)


@histories(
    # 5, 10, 20, 40, then the longest: 60 s
    grows=[TRIP, after(5), ask(gets="probe"), end(result=FAILURE), stands(OPEN, rest=10, attempts=2),
           after(10), ask(gets="probe"), end(result=FAILURE), stands(OPEN, rest=20, attempts=3),
           after(20), ask(gets="probe"), end(result=FAILURE), stands(OPEN, rest=40, attempts=4),
           after(40), ask(gets="probe"), end(result=FAILURE), stands(OPEN, rest=60, attempts=5),
           after(60), ask(gets="probe"), end(result=FAILURE), stands(OPEN, rest=60, attempts=5)],
    # from the first on as long as it can get
    cannot_grow=[under(NO_GROWTH), TRIP, stands(OPEN, rest=5, attempts=1), after(5), ask(gets="probe"),
                 end(result=FAILURE), stands(OPEN, rest=5, attempts=1)],
    closing_keeps_it=[under(ONE_PROBE), *PROBING, end(), stands(CLOSED, attempts=1), TRIP, stands(OPEN, rest=10)],
    decays=[under(ONE_PROBE), *PROBING, end(result=FAILURE), after(10), ask(gets="probe"), end(),
            stands(CLOSED, attempts=2), after(59.999), report(), stands(CLOSED, attempts=2),
            after(0.001), report(), stands(CLOSED, attempts=1), after(59), report(), stands(CLOSED, attempts=1),
            after(1), report(), stands(CLOSED, attempts=0), TRIP, stands(OPEN, rest=5, attempts=1)],
    decays_at_once=[under(ONE_PROBE), *PROBING, end(result=FAILURE), after(10), ask(gets="probe"), end(),
                    after(3600), TRIP, stands(OPEN, rest=5, attempts=1)],
    decays_as_the_policy_says=[under(replace(ONE_PROBE, attempt_decay=2)), *PROBING, end(), after(2), TRIP,
                               stands(OPEN, rest=5, attempts=1)],
    # open for an hour by its own answer: not time spent CLOSED
    only_while_closed=[report(1, 1, trip=60), after(3600), ask(gets="probe"), end(result=FAILURE),
                       stands(OPEN, rest=10, attempts=2)],
)  # fmt: skip
def test_cooldown(play: Play, history: Sequence[Step]) -> None:
    """Each opening is longer than the last one, until time spent CLOSED makes up for it."""
    play.run(history)


# ------------------------------------------------------------------------------------------ HALF_OPEN


@histories(
    closes=[*PROBING, end(), stands(HALF_OPEN, ok=1), ask("p2", gets="probe"), end("p2"), ask("p3", gets="probe"),
            end("p3"), stands(CLOSED, reason="probes_succeeded", counts=(0, 0, 0), attempts=1, issued=0, ok=0),
            known(leases={}),
            told("opened all_failed", "half_opened cooldown_over", "closed probes_succeeded")],
    one_failure_opens=[*PROBING, end(result=FAILURE), stands(OPEN, rest=10, reason="probes_failed", issued=0),
                       told("opened all_failed", "half_opened cooldown_over", "opened probes_failed")],
    slow_is_failed=[*PROBING, end(slow=True), stands(OPEN, reason="probes_failed", last_failure_ms=1_700_000_000_000)],
    # two of three suffice: the second success closes though the third probe is under way
    early_success=[under(TWO_OF_THREE), *PROBING, ask("p2", gets="probe"), ask("p3", gets="probe"), end("p1"),
                   end("p2"), stands(CLOSED), end("p3", result=FAILURE), stands(CLOSED), known(leases={}, late=0)],
    one_failure_is_allowed=[under(TWO_OF_THREE), *PROBING, end(result=FAILURE), stands(HALF_OPEN, bad=1),
                            ask("p2", gets="probe"), end("p2"), ask("p3", gets="probe"), end("p3"), stands(CLOSED)],
    early_failure=[under(TWO_OF_THREE), *PROBING, ask("p2", gets="probe"), ask("p3", gets="probe"),
                   end("p1", FAILURE), end("p2", FAILURE), stands(OPEN, reason="probes_failed"), known(leases={})],
    one_at_once=[*PROBING, ask("p2", gets="nothing", again=30), after(10), ask("p2", gets="nothing", again=20)],
    all_issued=[under(THREE_AT_ONCE), *PROBING, after(1), ask("p2", gets="probe"), ask("p3", gets="probe"),
                ask("p4", gets="nothing", again=29), stands(HALF_OPEN, issued=3)],
    # the answer was lost on the way: asked again, it is the same probe with a fresh lease
    asked_again=[*PROBING, after(10), ask("p1", gets="probe"), stands(HALF_OPEN, issued=1), known(leases={"p1": 30})],
    settled_twice=[*PROBING, end(), end(), end(result=FAILURE), stands(HALF_OPEN, ok=1, bad=0), known(late=0)],
    never_asked_for=[*PROBING, end("p9", FAILURE), stands(HALF_OPEN, issued=1, bad=0), known(leases={"p1": 30})],
    results_without_a_lease=[*PROBING, report(5, 5), stands(HALF_OPEN, bad=0, last_failure_ms=1_700_000_000_000),
                             known(late=5)],
    # a probe of the first round answers in the second
    of_an_older_round=[under(TWO_OF_THREE), *PROBING, note("first"), ask("p2", gets="probe"), ask("p3", gets="probe"),
                       end("p2", FAILURE), end("p3", FAILURE), after(10), ask("p4", gets="probe"),
                       end("p1", of="first"), stands(HALF_OPEN, issued=1, ok=0), known(leases={"p4": 30}, late=1)],
    # even under a lease of the same name
    of_another_generation=[*PROBING, note("first"), end(result=FAILURE), after(10), ask("p1", gets="probe"),
                           end("p1", of="first"), stands(HALF_OPEN, ok=0), known(leases={"p1": 30}, late=1)],
    excluded_of_another=[*PROBING, note("first"), end(result=FAILURE), end("p1", EXCLUDED, of="first"), known(late=0)],
)  # fmt: skip
def test_half_open(play: Play, history: Sequence[Step]) -> None:
    """A few probes, each on a lease, decide as early as their results allow."""
    play.run(history)


@histories(
    gives_its_slot_back=[*PROBING, end(result=EXCLUDED), stands(HALF_OPEN, issued=0, ok=0, bad=0, lost=1),
                         ask("p2", gets="probe")],
    says_nothing=[*PROBING, end(result=EXCLUDED, slow=True), stands(HALF_OPEN, bad=0)],
    three_open_again=[*PROBING, end(result=EXCLUDED), ask("p2", gets="probe"), end("p2", EXCLUDED),
                      stands(HALF_OPEN, lost=2), ask("p3", gets="probe"), end("p3", EXCLUDED),
                      stands(OPEN, rest=10, reason="probes_lost")],
    # also of a policy with one probe
    not_fewer_than_three=[under(ONE_PROBE), *PROBING, end(result=EXCLUDED), ask(gets="probe"), end(result=EXCLUDED),
                          stands(HALF_OPEN, lost=2), ask(gets="probe"), end(result=EXCLUDED), stands(OPEN)],
    as_many_as_probes=[under(replace(POLICY, probes=4, probes_required=4)), *PROBING, end(result=EXCLUDED),
                       ask(gets="probe"), end(result=EXCLUDED), ask(gets="probe"), end(result=EXCLUDED),
                       stands(HALF_OPEN, lost=3), ask(gets="probe"), end(result=EXCLUDED), stands(OPEN)],
    lost_ones_count=[*PROBING, after(30), ask("p2", gets="probe"), stands(HALF_OPEN, issued=1, lost=1),
                     known(leases={"p2": 30}), told("opened all_failed", "half_opened cooldown_over",
                                                    "probe_lost cooldown_over")],
    # not yet asked for, so not yet taken back; gone for people all the same
    ran_out=[*PROBING, after(30), known(leases={})],
    came_just_in_time=[*PROBING, after(31), end(), stands(HALF_OPEN, ok=1, lost=0)],
    all_lost=[under(THREE_AT_ONCE), *PROBING, ask("p2", gets="probe"), ask("p3", gets="probe"), after(30),
              ask("p4", gets="nothing", again=10), stands(OPEN, reason="probes_lost", attempts=2)],
    renewed=[*PROBING, after(20), renew(), known(leases={"p1": 30}), after(20), ask("p2", gets="nothing", again=10)],
    renewed_too_late=[*PROBING, after(30), ask("p2", gets="probe"), renew("p1", lives=False), known(leases={"p2": 30})],
    renewed_by_a_stranger=[renew(lives=False), *PROBING, renew("p9", lives=False), known(leases={"p1": 30})],
)  # fmt: skip
def test_probes_without_a_result(play: Play, history: Sequence[Step]) -> None:
    """An excluded or lost probe gives its slot back; enough of them open again."""
    play.run(history)


@histories(
    in_time=[*PROBING, after(19.999), ask("p2", gets="nothing", again=0.001), stands(HALF_OPEN)],
    over=[*PROBING, after(20), ask("p2", gets="nothing", again=10), stands(OPEN, reason="half_open_max", attempts=2)],
    # a result that decides comes first
    over_by_a_result=[*PROBING, after(21), end(), stands(OPEN, reason="half_open_max")],
    failed_after_all=[*PROBING, after(21), end(result=FAILURE), stands(OPEN, reason="probes_failed")],
)
def test_longest_round(play: Play, history: Sequence[Step]) -> None:
    """A round of probing that takes too long opens again."""
    play.policy = TWENTY_SECONDS
    play.run(history)


# ------------------------------------------------------------------------------------------ overrides


@histories(
    admits_nobody=[override(FORCED_OPEN, 60), ask(gets="nothing", again=60), stands(CLOSED, override=FORCED_OPEN)],
    # without end: asked about again after a cooldown
    for_ever=[override(FORCED_OPEN), after(1e6), ask(gets="nothing", again=5), stands(CLOSED, override_until_ms=0)],
    counts_refusals_only=[
        override(FORCED_OPEN),
        report(9, 9, refused=3),
        stands(CLOSED, counts=(0, 0, 0)),
        known(refused=3, late=0),
    ],
    is_frozen=[TRIP, override(FORCED_OPEN), after(5), ask(gets="nothing"), stands(OPEN)],
    ends_probing=[
        *PROBING,
        note("round"),
        override(FORCED_OPEN),
        stands(HALF_OPEN, issued=0),
        known(leases={}),
        newer("round"),
        end(of="round"),
        stands(HALF_OPEN, ok=0),
        known(late=1),
    ],
    ends_closed=[
        TRIP,
        override(FORCED_OPEN),
        override(NONE),
        stands(CLOSED, override=NONE, attempts=0, reason="override_ended", counts=(0, 0, 0), override_by=""),
    ],
    ends_empty=[report(4, 4), override(FORCED_OPEN), override(NONE), stands(CLOSED, counts=(0, 0, 0))],
    ends_softly=[override(FORCED_OPEN), override(NONE, soft=True), stands(HALF_OPEN), ask(gets="probe")],
    ends_by_itself=[
        override(FORCED_OPEN, 60),
        after(59.999),
        ask(gets="nothing", again=0.001),
        after(0.001),
        ask(gets="permit"),
        stands(CLOSED, override=NONE),
    ],
    ends_softly_by_itself=[override(FORCED_OPEN, 60, soft=True), after(60), ask(gets="probe"), stands(HALF_OPEN)],
)
def test_forced_open(play: Play, history: Sequence[Step]) -> None:
    """FORCED_OPEN: nobody passes, nothing is counted, the state stays where it is."""
    play.run(history)


@histories(
    admits_everybody=[TRIP, override(FORCED_CLOSED), ask(gets="permit"), stands(CLOSED, override=FORCED_CLOSED)],
    never_opens=[override(FORCED_CLOSED), report(9, 9), stands(CLOSED, counts=(9, 9, 0), attempts=0)],
    tells_once=[override(FORCED_CLOSED), told("override_set manual"), report(5, 5), report(5, 5), report(1),
                told("threshold_exceeded all_failed")],
    # below it again, then reached again
    tells_again=[override(FORCED_CLOSED), report(5, 5), report(9), after(60), report(5, 5),
                 told("override_set manual", "threshold_exceeded all_failed", "threshold_exceeded all_failed")],
    tells_a_trip=[override(FORCED_CLOSED), report(1, trip=30), stands(CLOSED),
                  told("override_set manual", "threshold_exceeded tripped")],
    # a fall below the threshold is seen with successes, too
    seen_below=[override(FORCED_CLOSED), report(5, 5), report(6), report(20, 17), stands(CLOSED),
                told("override_set manual", "threshold_exceeded all_failed", "threshold_exceeded failure_rate")],
    keeps_the_window=[report(4, 4), override(FORCED_CLOSED), report(5, 4), override(NONE),
                      stands(CLOSED, counts=(9, 8, 0), attempts=0), report(1, 1), stands(OPEN, reason="failure_rate")],
    keeps_it_by_itself=[override(FORCED_CLOSED, 30), report(4, 4), after(30), report(),
                        stands(CLOSED, counts=(4, 4, 0))],
    was_open=[TRIP, override(FORCED_CLOSED), override(NONE), stands(CLOSED, counts=(0, 0, 0)), ask(gets="permit")],
)  # fmt: skip
def test_forced_closed(play: Play, history: Sequence[Step]) -> None:
    """FORCED_CLOSED: everybody passes, all is counted, a threshold that is reached is told."""
    play.run(history)


@histories(
    admits_everybody=[TRIP, override(DISABLED), ask(gets="permit"), after(60), ask(gets="permit"), stands(OPEN)],
    records_nothing=[
        override(DISABLED),
        note("it"),
        report(9, 9, refused=2),
        report(9, 9, of="unknown"),
        same("it"),
        stands(CLOSED, counts=(0, 0, 0), last_failure_ms=0),
        known(refused=0, late=0, reporters=()),
    ],
    ends_closed=[TRIP, override(DISABLED, 60), after(60), report(1), stands(CLOSED, attempts=0, override=NONE)],
    ends_empty=[report(4, 4), override(DISABLED), override(NONE), stands(CLOSED, counts=(0, 0, 0))],
    # only FORCED_OPEN ends in probing
    never_softly=[TRIP, override(DISABLED), override(NONE, soft=True), stands(CLOSED)],
)
def test_disabled(play: Play, history: Sequence[Step]) -> None:
    """DISABLED: everybody passes, nothing is recorded, the state stays where it is."""
    play.run(history)


@histories(
    opens_in_the_shadow=[TRIP, stands(OPEN, rest=5), ask(gets="permit"),
                         told("override_set manual", "opened all_failed")],
    # what would have been refused
    counts_refusals=[TRIP, report(7, 2), report(1, refused=1), stands(OPEN), known(refused=9, late=0)],
    # a real call takes part; in its round those after the third would have been refused
    half_opens=[TRIP, after(5), report(1), stands(HALF_OPEN, issued=0), report(2), stands(HALF_OPEN, issued=2, ok=2),
                report(5), stands(CLOSED, reason="probes_succeeded", attempts=1), known(refused=1 + 4)],
    # all or nearly all of the probes among ten calls failed
    reopens=[TRIP, after(5), report(1), report(10, 8), stands(OPEN, rest=10, reason="probes_failed")],
    # 3 * 1 / 10, rounded: none of the probes
    mostly_well=[TRIP, after(5), report(1), report(10, 1), stands(CLOSED)],
    slow_is_failed=[TRIP, after(5), report(1), report(3, 0, 3), stands(OPEN, reason="probes_failed")],
    # a request starts the round as well
    asks=[TRIP, after(5), ask(gets="permit"), stands(HALF_OPEN, issued=0), known(leases={})],
    # nobody called, so nobody would have probed
    without_a_call=[TRIP, after(5), report(refused=3), stands(OPEN), known(refused=3)],
    sees_failures=[TRIP, after(1), report(1, 1), stands(OPEN, last_failure_ms=1_700_000_001_000)],
    of_an_older_life=[note("closed"), TRIP, report(4, 4, of="closed"), stands(OPEN), known(refused=0, late=4)],
    ends_closed=[TRIP, override(NONE), stands(CLOSED, attempts=0, counts=(0, 0, 0))],
    # a policy with fewer probes than the round has seen already
    other_policy=[TRIP, after(5), report(1), report(2), under(ONE_PROBE), report(1, 1),
                  stands(CLOSED, reason="probes_succeeded"), known(refused=2)],
)  # fmt: skip
def test_metrics_only(play: Play, history: Sequence[Step]) -> None:
    """METRICS_ONLY: everybody passes, and the state goes where it would go."""
    play.run([override(METRICS_ONLY), *history])


@histories(
    # results from before it was set are of another life
    begins_a_life=[report(1), note("before"), override(METRICS_ONLY), newer("before"), report(5, 5, of="before"),
                   stands(CLOSED), known(late=5)],
    is_told=[override(DISABLED, 60), after(60), report(1), told("override_set manual",
                                                                       "override_ended override_ended")],
    replaced=[override(DISABLED, 60), override(FORCED_OPEN, 90), after(60), ask(gets="nothing", again=30),
              stands(CLOSED, override=FORCED_OPEN, override_by="zoë", override_why="why"),
              told("override_set manual", "override_set manual")],
    nothing_to_end=[report(1), note("it"), override(NONE), same("it"), told()],
    over_before_the_order=[override(FORCED_OPEN, 60), after(60), override(NONE), stands(CLOSED, override=NONE),
                           told("override_set manual", "override_ended override_ended")],
    # whoever settles first learns that it is over
    over_before_a_settlement=[override(FORCED_OPEN, 60), note("it"), after(60), end(), stands(CLOSED), newer("it")],
    not_over_by_reading=[override(FORCED_OPEN, 60), after(60), known(refused=0), told("override_set manual")],
)  # fmt: skip
def test_overrides(play: Play, history: Sequence[Step]) -> None:
    """An override begins a life of the circuit, and its end another one."""
    play.run(history)


# ---------------------------------------------------------------------------------------------- orders


@histories(
    opens=[report(1), open_for(90), stands(OPEN, rest=90, reason="manual", attempts=1), told("opened manual")],
    # not bounded by the longest cooldown: a person says so
    opens_longer=[open_for(3600), stands(OPEN, rest=3600), after(3600), ask(gets="probe")],
    opens_for_a_probe=[open_for(0), stands(OPEN, rest=0), ask(gets="probe")],
    opens_anew=[*PROBING, open_for(90), stands(OPEN, rest=90, attempts=2, issued=0), known(leases={})],
    opens_over_an_override=[override(FORCED_CLOSED), open_for(90), stands(OPEN, override=NONE, override_why=""),
                            told("override_set manual", "opened manual")],
    resets=[*PROBING, end(result=FAILURE), reset(), ask(gets="permit"),
            stands(CLOSED, reason="reset", attempts=0, last_failure_ms=0, counts=(0, 0, 0), until_ms=0)],
    resets_an_override=[override(FORCED_OPEN), reset(), stands(CLOSED, override=NONE, override_by=""),
                        told("override_set manual", "reset reset")],
    resets_the_window=[report(4, 4), note("it"), reset(), newer("it"), report(4, 4, of="it"), stands(CLOSED),
                       known(late=4)],
)  # fmt: skip
def test_orders(play: Play, history: Sequence[Step]) -> None:
    """An operator opens or resets a circuit wherever it stands."""
    play.run(history)


# ----------------------------------------------------------------------------------------- generations


@histories(
    # all within one millisecond
    grow_without_time=[report(), note("a"), TRIP, newer("a"), note("b"), reset(), newer("b"), note("c"), reset(),
                       newer("c")],
    are_the_time=[after(1), report(), stands(CLOSED, generation=1_700_000_001_000)],
    stay_without_a_change=[report(1), note("it"), after(60), report(4, 4), ask(gets="permit"), same("it")],
    # before a worker has heard of a circuit it counts under 0
    unknown_while_closed=[report(4, 4, of="unknown"), report(1, 1, of="unknown"), stands(OPEN, reason="all_failed")],
    of_the_future=[report(1), note("it"), reset(), note("new"), report(5, 5, of="it"), same("new"), known(late=5)],
)  # fmt: skip
def test_generations(play: Play, history: Sequence[Step]) -> None:
    """A generation numbers one life of the state; results of another change nothing."""
    play.run(history)


# -------------------------------------------------------------------------------------------- policies


@histories(
    first_one_is_no_news=[report(1), stands(CLOSED, digest=POLICY.digest), told()],
    told_once=[report(1), under(SLOW), report(1), told("policy_mismatch"), under(POLICY), report(1), under(SLOW),
               report(1), told(), stands(CLOSED, digest=SLOW.digest)],
    third_one_is_news=[report(1), under(SLOW), report(1), under(SHORT), report(1),
                       told("policy_mismatch", "policy_mismatch")],
    seen_by_requests=[report(1), under(SLOW), ask(gets="permit"), told("policy_mismatch")],
    # buckets of the same length are the same slices of time, whoever filled them
    same_buckets=[report(3, 1), under(FIVE_BUCKETS), report(2), stands(CLOSED, counts=(5, 1, 0)), under(POLICY),
                  report(), stands(CLOSED, counts=(5, 1, 0))],
    # two that take turns within a bucket: neither sees what the other one's sums leave out
    taking_turns=[report(3, 1), after(50), report(2), under(FIVE_BUCKETS), report(1), stands(CLOSED, counts=(3, 0, 0)),
                  under(POLICY), report(1), stands(CLOSED, counts=(7, 1, 0)), report(1),
                  stands(CLOSED, counts=(8, 1, 0)), under(FIVE_BUCKETS), report(), stands(CLOSED, counts=(5, 0, 0))],
    # 20 s later the shorter ring is at the place of the bucket that it still saw until now
    overwritten=[after(10), report(3, 1), after(20), under(FIVE_BUCKETS), report(), stands(CLOSED, counts=(3, 1, 0)),
                 report(2), stands(CLOSED, counts=(2, 0, 0)), report(), stands(CLOSED, counts=(2, 0, 0))],
    # ten buckets of a second see nothing of six of ten seconds
    other_buckets=[report(9, 4), under(SHORT), report(9, 4), stands(CLOSED, counts=(9, 4, 0))],
    # people see what the last report looked at
    last_one_is_shown=[report(9, 4), under(SHORT), report(8, 1, by="w2"), known(counts=(8, 1, 0), reporters=("w2",)),
                       under(POLICY), report(1), known(counts=(10, 4, 0))],
)  # fmt: skip
def test_two_policies(play: Play, history: Sequence[Step]) -> None:
    """The rules are those of whoever asks; that workers differ is told once."""
    play.run(history)

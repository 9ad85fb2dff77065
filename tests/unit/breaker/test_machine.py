"""Steps of the machine; whole histories are in the conformance tests, which play them on every store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.breaker import machine
from fluxora_tasks.breaker.change import Moment, Step
from fluxora_tasks.breaker.circuit import Circuit, snapshot_of
from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import CircuitState, Counts, Override, Report, Result
from fluxora_tasks.breaker.window import Window

OPEN, CLOSED, HALF_OPEN = CircuitState.OPEN, CircuitState.CLOSED, CircuitState.HALF_OPEN
NONE, FORCED_OPEN, FORCED_CLOSED = Override.NONE, Override.FORCED_OPEN, Override.FORCED_CLOSED
DISABLED, METRICS_ONLY = Override.DISABLED, Override.METRICS_ONLY

POLICY = BreakerPolicy(window=60, buckets=6, cooldown=5, jitter=0.1, half_open_max=100)
NOW = 1_000_000
AT_WORK = Moment(NOW, 0.5, POLICY, reporter="w1")
IN_CHARGE = Moment(NOW, 0.5, POLICY, actor="zoë", why="calm")
FIVE_FAILED = Counts(5, 5)

#: As they stand at NOW.
_BASE = Circuit("api", generation=NOW - 900, since_ms=NOW - 900, closed_since_ms=NOW - 900, digest=POLICY.digest)
IS_CLOSED = replace(_BASE, window=Window().shaped(POLICY).with_counts(Counts(4, 4), NOW).with_reporter("w0", NOW))
IS_OPEN = replace(_BASE, state=OPEN, attempts=1, until_ms=NOW + 100, reason="all_failed")
IS_DUE = replace(IS_OPEN, until_ms=NOW)
IS_PROBING = replace(_BASE, state=HALF_OPEN, attempts=1, issued=1, leases=MappingProxyType({"p1": NOW + 1}))
NEARLY_CLOSED = replace(IS_PROBING, issued=3, ok=2)


def under(circuit: Circuit, override: Override, until_ms: int = 0) -> Circuit:
    """With an operator's decision."""
    return replace(circuit, override=override, override_until_ms=until_ms, override_by="zoë", override_why="calm")


def flush(circuit: Circuit, counts: Counts = FIVE_FAILED, trip_ms: int | None = None, refused: int = 0) -> Step:
    """A report of the circuit as it stands."""
    return machine.flush(circuit, Report("api", POLICY, circuit.generation, counts, trip_ms, refused), AT_WORK)


def settle(circuit: Circuit, result: Result) -> Step:
    """The end of the probe under way."""
    return machine.settle(circuit, circuit.generation, "p1", result, False, AT_WORK)


def admit(circuit: Circuit, later_ms: int = 0) -> Step:
    """A request for a permit."""
    return machine.admit(circuit, "p2", replace(AT_WORK, now_ms=NOW + later_ms)).step


def override(circuit: Circuit, wanted: Override, length_ms: int | None = None, soft: bool = False) -> Step:
    """An order."""
    return machine.override(circuit, wanted, length_ms, soft, IN_CHARGE)


# ------------------------------------------------------------------------------------------- transitions

LOST_PROBE = replace(IS_PROBING, lost=2, leases=MappingProxyType({"p1": NOW}))


@pytest.mark.parametrize(
    ("step", "told", "facts"),
    [
        (
            lambda: flush(IS_CLOSED, Counts(6, 1)),
            "opened CLOSED OPEN failure_rate w1",
            {"calls": "10", "failures": "5", "slow": "0", "attempts": "1", "until_ms": "1005250"},
        ),
        (
            lambda: flush(IS_CLOSED, Counts(1, 1), trip_ms=700),
            "opened CLOSED OPEN tripped w1",
            {"calls": "5", "failures": "5", "slow": "0", "attempts": "1", "until_ms": "1000700"},
        ),
        (lambda: admit(IS_DUE), "half_opened OPEN HALF_OPEN cooldown_over w1", {"attempts": "1"}),
        (
            lambda: settle(NEARLY_CLOSED, Result.SUCCESS),
            "closed HALF_OPEN CLOSED probes_succeeded w1",
            {"ok": "3", "bad": "0", "lost": "0"},
        ),
        (
            lambda: settle(IS_PROBING, Result.FAILURE),
            "opened HALF_OPEN OPEN probes_failed w1",
            {"ok": "0", "bad": "1", "lost": "0", "attempts": "2", "until_ms": "1010500"},
        ),
        (
            lambda: settle(replace(IS_PROBING, lost=2), Result.EXCLUDED),
            "opened HALF_OPEN OPEN probes_lost w1",
            {"ok": "0", "bad": "0", "lost": "3", "attempts": "2", "until_ms": "1010500"},
        ),
        (
            lambda: settle(replace(IS_PROBING, since_ms=NOW - 100_000), Result.SUCCESS),
            "opened HALF_OPEN OPEN half_open_max w1",
            {"ok": "1", "bad": "0", "lost": "0", "attempts": "2", "until_ms": "1010500"},
        ),
        # the shadow of METRICS_ONLY: told with the override, because nothing was enforced
        (
            lambda: flush(under(IS_CLOSED, METRICS_ONLY)),
            "opened CLOSED OPEN all_failed w1",
            {"calls": "9", "failures": "9", "slow": "0", "attempts": "1", "until_ms": "1005250",
             "override": "METRICS_ONLY"},
        ),
        (
            lambda: flush(under(IS_CLOSED, FORCED_CLOSED)),
            "threshold_exceeded FORCED_CLOSED FORCED_CLOSED all_failed w1",
            {"calls": "9", "failures": "9", "slow": "0"},
        ),
        (
            lambda: flush(replace(IS_CLOSED, digest="another1"), Counts()),
            f"policy_mismatch another1 {POLICY.digest}  w1",
            {},
        ),
        (lambda: override(IS_OPEN, FORCED_CLOSED, 60_000), "override_set OPEN FORCED_CLOSED manual zoë calm",
         {"until_ms": "1060000"}),
        (lambda: override(under(IS_OPEN, DISABLED), FORCED_OPEN), "override_set DISABLED FORCED_OPEN manual zoë calm",
         {"until_ms": "0"}),
        (lambda: override(under(IS_OPEN, DISABLED), NONE), "override_ended DISABLED CLOSED override_ended zoë calm",
         {}),
        # by itself: nobody did it, whoever notices
        (lambda: admit(under(IS_OPEN, DISABLED, NOW)), "override_ended DISABLED CLOSED override_ended", {}),
        (lambda: override(under(IS_OPEN, DISABLED, NOW), NONE), "override_ended DISABLED CLOSED override_ended", {}),
        (
            lambda: machine.open_for(under(IS_CLOSED, FORCED_CLOSED), 90_000, IN_CHARGE),
            "opened FORCED_CLOSED OPEN manual zoë calm",
            {"attempts": "1", "until_ms": "1090000"},
        ),
        (lambda: machine.reset(IS_PROBING, IN_CHARGE), "reset HALF_OPEN CLOSED reset zoë calm", {}),
    ],
)  # fmt: skip
def test_each_change_leaves_one_line(step: Callable[[], Step], told: str, facts: dict[str, str]) -> None:
    """Event, before, after, reason and who, with the numbers behind it, under the new generation."""
    after = step()
    (line,) = after.transitions
    said = (line.event, line.previous, line.current, line.reason, line.reporter, line.actor, line.why)
    assert " ".join(said).split() == told.split()
    assert (line.at_ms, line.generation, line.facts) == (NOW, after.circuit.generation, facts)


def test_a_lost_probe_is_told_before_what_it_leads_to() -> None:
    """A request takes the lease back; the third loss opens again."""
    lost, opened = admit(LOST_PROBE).transitions
    assert (lost.event, lost.facts) == ("probe_lost", {"count": "1", "lost": "3"})
    assert (opened.event, opened.reason) == ("opened", "probes_lost")


@pytest.mark.parametrize(
    "step",
    [
        lambda: flush(IS_CLOSED, Counts(20, 1)),
        lambda: flush(IS_OPEN),
        lambda: flush(under(IS_CLOSED, FORCED_CLOSED), Counts(1)),
        lambda: admit(IS_CLOSED),
        lambda: admit(IS_OPEN),
        lambda: settle(NEARLY_CLOSED, Result.EXCLUDED),
        lambda: override(IS_OPEN, NONE),  # there is none
    ],
)
def test_no_change_no_line(step: Callable[[], Step]) -> None:
    """What leaves the circuit where it is leaves its generation and its history alone."""
    after = step()
    assert (after.transitions, after.circuit.generation) == ((), _BASE.generation)


# --------------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("forced", "circuit", "answer"),
    [
        (NONE, IS_CLOSED, "permit"),
        (NONE, IS_OPEN, "nothing"),
        (NONE, IS_DUE, "probe"),
        (NONE, IS_PROBING, "nothing"),  # one is under way
        *((FORCED_OPEN, circuit, "nothing") for circuit in (IS_CLOSED, IS_OPEN, IS_DUE, IS_PROBING)),
        (FORCED_CLOSED, IS_CLOSED, "permit"),
        *((DISABLED, circuit, "permit") for circuit in (IS_CLOSED, IS_OPEN, IS_DUE, IS_PROBING)),
        *((METRICS_ONLY, circuit, "permit") for circuit in (IS_CLOSED, IS_OPEN, IS_DUE, IS_PROBING)),
    ],
)
def test_admission(forced: Override, circuit: Circuit, answer: str) -> None:
    """The override decides; where there is none, the state."""
    given = machine.admit(under(circuit, forced), "p2", AT_WORK)
    assert (given.granted, given.lease) == {"permit": (True, False), "probe": (True, True)}.get(answer, (False, False))


@pytest.mark.parametrize(
    ("forced", "state", "calls", "attempts", "refused"),
    [
        (NONE, OPEN, 0, 1, 2),
        (FORCED_OPEN, CLOSED, 4, 0, 2),  # refusals only
        (FORCED_CLOSED, CLOSED, 9, 0, 2),  # counted, never opened
        (DISABLED, CLOSED, 4, 0, 0),  # nothing
        (METRICS_ONLY, OPEN, 0, 1, 2),
    ],
)
def test_recording(forced: Override, state: CircuitState, calls: int, attempts: int, refused: int) -> None:
    """What five failures and two refusals do to a circuit that four failures are known of."""
    after = flush(under(IS_CLOSED, forced), refused=2).circuit
    assert (after.state, after.counts(NOW).calls, after.attempts) == (state, calls, attempts)
    assert (after.late, after.refused) == (0, refused)


@pytest.mark.parametrize("is_by_itself", [False, True])
@pytest.mark.parametrize(
    ("ending", "soft", "state", "calls"),
    [
        (FORCED_OPEN, False, CLOSED, 0),
        (FORCED_OPEN, True, HALF_OPEN, 0),
        (FORCED_CLOSED, False, CLOSED, 4),  # the window went on all the time
        (FORCED_CLOSED, True, CLOSED, 4),
        (DISABLED, False, CLOSED, 0),
        (DISABLED, True, CLOSED, 0),
        (METRICS_ONLY, False, CLOSED, 0),
        (METRICS_ONLY, True, CLOSED, 0),
    ],
)
def test_the_end_of_an_override(
    ending: Override, soft: bool, state: CircuitState, calls: int, is_by_itself: bool
) -> None:
    """It leads to CLOSED or, softly, from FORCED_OPEN to probing; openings are forgotten."""
    before = replace(under(IS_CLOSED, ending, NOW if is_by_itself else 0), attempts=3, override_soft=soft)
    after = (flush(before, Counts()) if is_by_itself else override(before, NONE, soft=soft)).circuit
    assert (after.state, after.counts(NOW).calls, after.attempts) == (state, calls, 0)
    assert (after.override, after.override_until_ms, after.override_by, after.override_why) == (NONE, 0, "", "")
    assert after.generation > before.generation


@pytest.mark.parametrize(
    ("wanted", "circuit", "state", "calls"),
    [
        (FORCED_OPEN, IS_CLOSED, CLOSED, 4),
        (FORCED_OPEN, IS_OPEN, OPEN, 0),
        (FORCED_CLOSED, IS_CLOSED, CLOSED, 4),
        (FORCED_CLOSED, IS_OPEN, CLOSED, 0),  # pinned
        (FORCED_CLOSED, IS_PROBING, CLOSED, 0),
        (DISABLED, IS_OPEN, OPEN, 0),
        (METRICS_ONLY, IS_CLOSED, CLOSED, 4),
        (METRICS_ONLY, IS_PROBING, HALF_OPEN, 0),
    ],
)
def test_the_beginning_of_an_override(wanted: Override, circuit: Circuit, state: CircuitState, calls: int) -> None:
    """The state stays, but for FORCED_CLOSED; probes under way are given up; it is another life."""
    after = override(circuit, wanted, 60_000).circuit
    assert (after.state, after.counts(NOW).calls, after.attempts) == (state, calls, circuit.attempts)
    assert (after.override, after.override_until_ms, after.override_by, after.override_why) == (
        wanted, NOW + 60_000, "zoë", "calm")  # fmt: skip
    assert (after.issued, dict(after.leases), after.generation) == (0, {}, NOW)


# ------------------------------------------------------------------------------------------- generations


@pytest.mark.parametrize(("known", "following"), [(NOW - 1, NOW), (NOW, NOW + 1), (NOW + 500, NOW + 501)])
def test_a_generation_is_the_time_and_always_new(known: int, following: int) -> None:
    """Also where several changes fall into one ms, or the clock was set back."""
    assert machine.reset(replace(IS_CLOSED, generation=known), IN_CHARGE).circuit.generation == following


def test_a_circuit_that_nobody_knows_begins_now() -> None:
    """Whoever comes first gives it its first generation, without a line of history."""
    step = flush(Circuit("api"), Counts(1))
    assert step.transitions == ()
    assert (step.circuit.generation, step.circuit.since_ms, step.circuit.counts(NOW)) == (NOW, NOW, Counts(1))


def test_the_end_of_a_probe_that_nobody_knows_of_begins_nothing() -> None:
    """After the store forgot everything an old probe is no news."""
    after = settle(Circuit("api"), Result.FAILURE).circuit
    assert after == Circuit("api")


@pytest.mark.parametrize("circuit", [IS_CLOSED, IS_OPEN, IS_DUE, IS_PROBING, under(IS_OPEN, METRICS_ONLY)])
@pytest.mark.parametrize("older", [1, NOW])
def test_a_late_result_is_counted_as_that(circuit: Circuit, older: int) -> None:
    """And changes nothing else."""
    late = machine.flush(circuit, Report("api", POLICY, circuit.generation - older, FIVE_FAILED), AT_WORK)
    assert late == Step(replace(circuit, late=5))
    probe = machine.settle(circuit, circuit.generation - older, "p1", Result.FAILURE, True, AT_WORK)
    assert probe == Step(replace(circuit, late=1))


@given(
    st.lists(
        st.tuples(st.sampled_from(["flush", "settle", "admit", "renew"]), st.integers(0, 9), st.integers(0, 99)),
        max_size=20,
    )
)
def test_nothing_but_time_or_an_operator_ends_open(steps: list[tuple[str, int, int]]) -> None:
    """Before its time an open circuit stays as it is, whatever calls report."""
    circuit = IS_OPEN
    for kind, number, passed in steps:
        moment = replace(AT_WORK, now_ms=NOW + passed)
        if kind == "flush":
            report = Report("api", POLICY, circuit.generation - number % 2, Counts(number, number), None, number)
            circuit = machine.flush(circuit, report, moment).circuit
        elif kind == "settle":
            circuit = machine.settle(circuit, circuit.generation, "p1", Result.SUCCESS, False, moment).circuit
        elif kind == "admit":
            circuit = machine.admit(circuit, "p1", moment).step.circuit
        else:
            assert machine.renew(circuit, "p1", moment) is None
    assert replace(circuit, late=0, refused=0) == IS_OPEN


def test_a_snapshot_hides_the_window_of_a_circuit_that_is_not_closed() -> None:
    """Under an override the window of a CLOSED circuit is seen, that of a shadow round is not."""
    assert snapshot_of(under(IS_CLOSED, FORCED_OPEN), NOW, POLICY).counts == Counts(4, 4)
    assert snapshot_of(replace(IS_CLOSED, state=HALF_OPEN), NOW, POLICY).counts == Counts()

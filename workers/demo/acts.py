"""What happens in the demo, in order: send, fail, inspect, repair, replay, count."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fluxora_tasks.breaker.record import CircuitState
from fluxora_tasks.breaker.record import Status as CircuitStatus
from fluxora_tasks.journal import JournalCounts
from fluxora_tasks.ledger.standing import Status
from fluxora_tasks.operations.records import Actor, DeadLetterDetail
from workers.demand.client import CorruptedAnswer, repair
from workers.demand.records import recorded_days
from workers.demo.report import Expected, Report, Turn, differences
from workers.demo.scene import Interruption, Scene, scene
from workers.demo.screen import Screen

#: Days at the beginning of the record that are history only: two weeks, so that every forecast has some.
_HISTORY_DAYS: Final = 14
_TASKS_PER_DAY: Final = 3
_UNKNOWN_REGION: Final = "atlantis"
#: As ``workers.demand.tasks`` names it, which is imported as late as the application.
_CIRCUIT: Final = "demand-api"
_MOST_OUTLOOKS: Final = 5

_SERVERS: Final = ("FLUXORA_BROKER_URL", "FLUXORA_REDIS_URL", "FLUXORA_LEDGER_URL")

#: Seconds without any change after which nothing more is waited for; no retry waits longer than 1.5 s.
_STALLED: Final = 15.0
_POLL: Final = 0.1

_CORRUPTED: Final = f"{CorruptedAnswer.__module__}.{CorruptedAnswer.__qualname__}"
_ACTOR: Final = Actor(name="demo", reason="the demand service was repaired")


def run(*, as_json: bool = False, stay: bool = False, seed: int = 7, state_dir: Path | None = None) -> int:
    """
    Run the demo.

    Args:
        as_json: One document on stdout instead of the report.
        stay: Keep everything running at the end, with Flower, until interrupted.
        seed: Fixes which requests fail, and how.
        state_dir: Its ``demo`` directory is emptied and used; default ``FLUXORA_STATE_DIR``, else ``.fluxora``.

    Returns:
        0 if nothing was lost and the outcome is the expected one, else 1; 130 when interrupted, 143 when terminated.

    Raises:
        FluxoraError: it cannot start; one line says what to do.
    """
    screen = Screen(as_json=as_json)
    try:
        with Interruption() as interruption:
            return _play(screen, interruption, seed, _place(state_dir), stay=stay)
    except KeyboardInterrupt as interrupt:
        screen.say("interrupted; everything is stopped")
        return 128 + int(interrupt.args[0] if interrupt.args else signal.SIGINT)


def _place(state_dir: Path | None) -> Path:
    return state_dir or Path(os.environ.get("FLUXORA_STATE_DIR") or ".fluxora")


def _play(screen: Screen, interruption: Interruption, seed: int, state_dir: Path, *, stay: bool) -> int:
    started = time.monotonic()
    screen.title("Fluxora demo: electricity demand of England and Wales, June to August 2000")
    if any(os.environ.get(name) for name in _SERVERS):
        screen.say(f"Your {', '.join(filter(os.environ.get, _SERVERS))} is left alone: the demo brings its own.")
    with scene(state_dir, interruption, seed=seed, with_flower=stay) as stage:
        screen.say(f"Started store, ledger, recorder, worker and service in {time.monotonic() - started:.1f} s.")
        began_ms = _circuit(stage).snapshot.now_ms
        before = _outlook(screen, "Before the outage")
        expected = _send(screen)
        outlooks = [before, *_outlooks_in_the_outage(stage, screen)]
        expected = replace(expected, succeeding=expected.succeeding + len(outlooks))
        _watch(stage, screen, "chains", expected.succeeding)
        dead = _inspect(stage, screen)
        replayed = _repair_and_replay(stage, screen, dead)
        _watch(stage, screen, "replays", expected.succeeding, replayed)
        report = _count(stage, replayed, outlooks, began_ms, started)
        if stay:
            return max(_finish(screen, report, expected), _stay(stage, screen))
    code = _finish(screen, replace(report, seconds=time.monotonic() - started), expected)
    screen.say(f"Look again: FLUXORA_STATE_DIR={state_dir / 'demo'} fluxora dead list")
    return code


def _send(screen: Screen) -> Expected:
    """Send every day its chain, and one to a region that does not exist."""
    tasks = importlib.import_module("workers.demand.tasks")  # as late as the application, see Scene
    days = list(recorded_days())
    history, rest = days[:_HISTORY_DAYS], days[_HISTORY_DAYS:]
    for day in history:
        tasks.ingest_demand.delay(str(day))
    for day in rest:
        tasks.day_chain(day).delay()
    tasks.day_chain(days[-1], _UNKNOWN_REGION).delay()
    screen.say(f"Sent {len(history)} days of history, {len(rest)} days to forecast, and one unknown region.")
    return Expected(succeeding=len(history) + _TASKS_PER_DAY * len(rest), repaired=2, hopeless=1)


def _outlooks_in_the_outage(stage: Scene, screen: Screen) -> list[dict[str, Any]]:
    """Ask for an outlook while the circuit of the service is open, until one was made without the service."""
    made: list[dict[str, Any]] = []
    end = time.monotonic() + _STALLED
    while time.monotonic() < end and len(made) < _MOST_OUTLOOKS and not any(one["degraded"] for one in made):
        if _circuit(stage).snapshot.state is not CircuitState.CLOSED:
            made.append(_outlook(screen, "During the outage"))
        time.sleep(_POLL / 2)
    return made


def _outlook(screen: Screen, when: str) -> dict[str, Any]:
    """Have the day after the latest one forecast now."""
    tasks = importlib.import_module("workers.demand.tasks")
    result: dict[str, Any] = tasks.outlook.delay().get(timeout=_STALLED)
    source = f"the last good answer, {result['age']:.1f} s old" if result["degraded"] else "the service's answer"
    screen.say(f"{when}: an outlook for {result['day']}, peak {result['peak']:,} MW, made from {source}.")
    return result


def _circuit(stage: Scene) -> CircuitStatus:
    (status,) = stage.circuits.read([_CIRCUIT])
    return status


def _turns(stage: Scene, began_ms: int) -> tuple[Turn, ...]:
    """What the circuit went through, oldest first."""
    lines = reversed(stage.circuits.history(_CIRCUIT, 200))
    return tuple(
        Turn(round((line.at_ms - began_ms) / 1000, 1), line.previous, line.current, line.reason) for line in lines
    )


def _watch(stage: Scene, screen: Screen, what: str, total: int, replayed: Sequence[str] = ()) -> None:
    """Show the progress until every message has ended and every replay has its outcome, or nothing moves any more."""
    moved, last = time.monotonic(), (JournalCounts(), 0)
    with screen.bar(what, total) as bar:
        while time.monotonic() - moved < _STALLED:
            # statuses first: a replay that is resolved has sent what follows it before
            statuses = [stage.letters.get(dead_id).summary.status for dead_id in replayed]
            now = (stage.journal.counts(), statuses.count(Status.RESOLVED))
            bar.show(*now)
            if now[0].open == 0 and Status.RETRYING not in statuses:
                return
            if now != last:
                moved, last = time.monotonic(), now
            time.sleep(_POLL)


def _inspect(stage: Scene, screen: Screen) -> list[DeadLetterDetail]:
    """Show what is in the ledger, and why."""
    letters = [stage.letters.get(item.id) for item in stage.letters.list().items]
    letters.sort(key=lambda letter: letter.summary.first_failed_at)
    screen.title("In the ledger, and why")
    screen.ledger(letters)
    return letters


def _repair_and_replay(stage: Scene, screen: Screen, dead: Sequence[DeadLetterDetail]) -> list[str]:
    """Have the service repaired, then send again what died of its corruption; the ids that were sent."""
    screen.say(f"Repaired at the service: {', '.join(repair(stage.service_url)) or 'nothing'}.")
    corrupted = [letter.summary.id for letter in dead if letter.summary.exception_type == _CORRUPTED]
    results = stage.letters.replay(corrupted, _ACTOR)
    replayed = [result.id for result in results if result.outcome == "done"]
    screen.say(f"Replayed: {', '.join(dead_id[:8] for dead_id in replayed) or 'nothing'}.")
    return replayed


def _count(
    stage: Scene, replayed: Sequence[str], outlooks: Sequence[dict[str, Any]], began_ms: int, started: float
) -> Report:
    """The figures: of the audit, of the pipeline's store, and of the circuit."""
    audit, published = stage.audit(), stage.demand.published()
    recorded = sum(audit.recorded.values())
    resolved = audit.recorded.get(Status.RESOLVED, 0)
    return Report(
        sent=audit.sent,
        succeeded=audit.succeeded,
        retried=audit.retried,
        dead_lettered=recorded,
        replayed=len(replayed),
        resolved=resolved,
        unresolved=recorded - resolved,
        lost=len(audit.lost),
        forecast_mape=_mean([forecast.error for forecast in published]),
        baseline_mape=_mean([forecast.baseline_error for forecast in published]),
        seconds=time.monotonic() - started,
        refused=_circuit(stage).refused,
        outlooks=len(outlooks),
        degraded=sum(outlook["degraded"] for outlook in outlooks),
        circuit=_turns(stage, began_ms),
    )


def _finish(screen: Screen, report: Report, expected: Expected) -> int:
    wrong = differences(report, expected)
    screen.report(report, wrong)
    return 1 if wrong else 0


def _stay(stage: Scene, screen: Screen) -> int:
    """Leave everything running until somebody ends it."""
    screen.say(f"Flower, with the dead letters: {stage.stack.flower_url}/")
    screen.say("Ctrl-C ends everything.")
    ended = stage.stack.wait()
    if ended is not None:
        screen.say(f"the {ended} ended by itself; see {stage.stack.log(ended)}")
    return 0 if ended is None else 1


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

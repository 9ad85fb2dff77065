"""What the demo says about its figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workers.demo.report import Expected, Report, Turn, differences, document

EXPECTED = Expected(succeeding=224, repaired=2, hopeless=1)
RIGHT = Report(
    sent=225,
    succeeded=222,
    retried=120,
    dead_lettered=3,
    replayed=2,
    resolved=2,
    unresolved=1,
    lost=0,
    forecast_mape=1.1,
    baseline_mape=2.0,
    seconds=12.0,
    refused=90,
    outlooks=2,
    degraded=1,
    circuit=(Turn(0.8, "CLOSED", "OPEN", "failure_rate"), Turn(3.5, "HALF_OPEN", "CLOSED", "probes_succeeded")),
)


def test_a_right_run_has_no_differences() -> None:
    """Nothing lost, two repaired, one hopeless."""
    assert differences(RIGHT, EXPECTED) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"lost": 1, "succeeded": 221}, "1 messages were lost"),
        ({"succeeded": 221, "sent": 224}, "223 messages succeeded instead of 224"),
        ({"dead_lettered": 4, "sent": 226}, "4 dead letters instead of 3"),
        ({"replayed": 1}, "1 dead letters were replayed instead of 2"),
        ({"resolved": 1}, "1 of 2 replays succeeded"),
        ({"sent": 226}, "226 messages sent, but 225 accounted for"),
        ({"retried": 0}, "nothing was retried, so the faults did not happen"),
        ({"refused": 0}, "the circuit of the service refused nothing, so the outage did not open it"),
        ({"degraded": 0}, "no outlook was made from the last good answer"),
        ({"circuit": RIGHT.circuit[:1]}, "the circuit of the service is not closed"),
        ({"forecast_mape": 2.0}, "the forecast does not beat the week before: 2.00 % against 2.00 %"),
        ({"forecast_mape": None}, "no forecast was published"),
    ],
)
def test_each_difference_is_named(change: dict[str, Any], line: str) -> None:
    """One line per thing that is not as it should be."""
    assert line in differences(replace(RIGHT, **change), EXPECTED)


def test_the_document_has_the_figures_without_noise() -> None:
    """Counts as they are, percentages to four digits, seconds to two; no forecast is null."""
    noisy = replace(RIGHT, forecast_mape=1.123456, baseline_mape=None, seconds=12.3456)
    assert document(noisy) | {
        "sent": 225,
        "forecast_mape": 1.1235,
        "baseline_mape": None,
        "seconds": 12.35,
        "circuit": (
            {"at": 0.8, "previous": "CLOSED", "current": "OPEN", "reason": "failure_rate"},
            {"at": 3.5, "previous": "HALF_OPEN", "current": "CLOSED", "reason": "probes_succeeded"},
        ),
    } == document(noisy)

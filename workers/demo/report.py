"""What the demo counted, and whether that is what it should be (pure)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One change of a circuit.

    Attributes:
        at: Seconds since the first message was sent, by the store's clock.
        previous: State before; ``current`` after.
        reason: As the circuit's history says.
    """

    at: float
    previous: str
    current: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one run; the field names are public (``--json``).

    Attributes:
        sent: Messages sent; retries and replays of a message count as that message.
        succeeded: Messages that ran to success without having died.
        retried: Attempts that were scheduled again.
        dead_lettered: Records in the ledger.
        replayed: Records sent again.
        resolved: Records whose replay succeeded.
        unresolved: Records that are still dead.
        lost: Messages that neither succeeded nor stand in the ledger.
        forecast_mape: Mean absolute percentage error of the published forecasts, in percent; ``None``: there are none.
        baseline_mape: The same of the seasonal-naive forecast on the same days.
        seconds: From the command to the report.
        refused: Calls of the demand service that its circuit refused; no attempt was used for them.
        outlooks: Forecasts asked for beside the chains, from the service's recent days.
        degraded: Outlooks that were made from the last good answer, and said so.
        circuit: What the service's circuit went through, in order.
    """

    sent: int
    succeeded: int
    retried: int
    dead_lettered: int
    replayed: int
    resolved: int
    unresolved: int
    lost: int
    forecast_mape: float | None
    baseline_mape: float | None
    seconds: float
    refused: int
    outlooks: int
    degraded: int
    circuit: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a right outcome is.

    Attributes:
        succeeding: Messages that succeed in the end, replays included.
        repaired: Records that the repair brings back.
        hopeless: Records that nothing brings back.
    """

    succeeding: int
    repaired: int
    hopeless: int


def document(report: Report) -> dict[str, Any]:
    """The figures for a program: the report's fields, and no more digits than mean something."""
    digits = {"forecast_mape": 4, "baseline_mape": 4, "seconds": 2}
    return {
        name: round(value, digits[name]) if name in digits and value is not None else value
        for name, value in asdict(report).items()
    }


def differences(report: Report, expected: Expected) -> list[str]:
    """What is not as it should be, one line each; empty if all is well."""
    dead = expected.repaired + expected.hopeless
    checks = [
        (report.lost == 0, f"{report.lost} messages were lost"),
        (
            report.succeeded + report.resolved == expected.succeeding,
            f"{report.succeeded + report.resolved} messages succeeded instead of {expected.succeeding}",
        ),
        (report.dead_lettered == dead, f"{report.dead_lettered} dead letters instead of {dead}"),
        (
            report.replayed == expected.repaired,
            f"{report.replayed} dead letters were replayed instead of {expected.repaired}",
        ),
        (report.resolved == report.replayed, f"{report.resolved} of {report.replayed} replays succeeded"),
        (
            report.sent == report.succeeded + report.dead_lettered + report.lost,
            f"{report.sent} messages sent, but {report.succeeded + report.dead_lettered + report.lost} accounted for",
        ),
        (report.retried > 0, "nothing was retried, so the faults did not happen"),
        (report.refused > 0, "the circuit of the service refused nothing, so the outage did not open it"),
        (report.degraded > 0, "no outlook was made from the last good answer"),
        (bool(report.circuit) and report.circuit[-1].current == "CLOSED", "the circuit of the service is not closed"),
    ]
    return [text for holds, text in checks if not holds] + _forecast_differences(report)


def _forecast_differences(report: Report) -> list[str]:
    if report.forecast_mape is None or report.baseline_mape is None:
        return ["no forecast was published"]
    if report.forecast_mape >= report.baseline_mape:
        errors = f"{report.forecast_mape:.2f} % against {report.baseline_mape:.2f} %"
        return [f"the forecast does not beat the week before: {errors}"]
    return []

"""One run: send, strike, wait until all is settled, count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from tests.chaos.accounting import Account, Report, account, unexpected
from tests.chaos.faults import strike
from tests.chaos.plan import Blow, Fault, blows, jobs
from tests.chaos.producer import Producer
from tests.chaos.system import System
from tests.waiting import wait_until


def run(system: System, *, broker: str, seed: int, count: int, faults: Sequence[Fault], patience: float) -> Report:
    """
    Send ``count`` messages under faults.

    Args:
        broker: Its name, for the report.
        patience: Seconds the system has to settle after the last message and the last fault.
    """
    started = time.monotonic()
    schedule = blows(seed, count, faults)
    planned = jobs(seed, count)
    with_client = system.client()
    producer = Producer(with_client, planned)
    producer.start()
    try:
        for blow in schedule:
            _await_runs(system, producer, blow)
            strike(system, blow)
        wait_until(lambda: _progress(system, producer) and not producer.is_alive(), 60 + count / 20, "all is sent")
    finally:
        producer.stop()
        with_client.close()
    with suppress(AssertionError):  # what is missing stands in the report
        wait_until(lambda: _account(system, producer).is_settled, patience, "all is settled")
    audit = _settled_audit(system, patience)
    rows = system.rows()
    return Report(
        broker,
        seed,
        schedule,
        _account(system, producer),
        audit,
        time.monotonic() - started,
        unexpected(planned, rows),
    )


def _await_runs(system: System, producer: Producer, blow: Blow) -> None:
    """Until so many runs have begun; a broker that is away for long can make that many impossible to reach."""

    def reached() -> bool:
        return _progress(system, producer) >= blow.after or not producer.is_alive()

    try:
        wait_until(reached, 120)
    except AssertionError:
        refused = list(producer.unsure.items())[-5:]
        raise AssertionError(
            f"only {producer.began} of {blow.after} runs have begun; refused last: {refused}"
        ) from None


def _progress(system: System, producer: Producer) -> int:
    system.tend()
    producer.began = system.trace.began()
    return producer.began


def _account(system: System, producer: Producer) -> Account:
    system.tend()
    return account(producer.sent, producer.unsure.keys(), system.trace.lines(), system.rows(), system.killed)


def _settled_audit(system: System, patience: float) -> dict[str, object]:
    """The audit once nothing is on its way, or the last one if that does not come."""
    deadline = time.monotonic() + patience
    while True:
        document = system.audit()
        if not (document["in_flight"] or document["undecided"]) or time.monotonic() > deadline:
            return document

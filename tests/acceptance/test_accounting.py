"""Every message is accounted for, whatever dies meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.plan import Fault
from tests.chaos.run import run
from tests.chaos.servers import Broker, LedgerDatabase, Postgres, Rabbit, Sqlite, Store
from tests.chaos.system import System
from tests.processes import CeleryProcesses

pytestmark = [pytest.mark.chaos, pytest.mark.acceptance, pytest.mark.integration]

LONG = os.environ.get("FLUXORA_TEST_CHAOS") == "long"
SEED = int(os.environ.get("FLUXORA_TEST_SEED", "1"))
MESSAGES = 5000 if LONG else 600
PATIENCE = 180 if LONG else 60

EVERY_FAULT = list(Fault)
#: Four of them per broker where time is short; between them the two brokers have every one.
FAULTS = {
    "rabbitmq": [Fault.CHILD, Fault.WORKER, Fault.BROKER, Fault.LEDGER],
    "redis": [Fault.WORKER, Fault.BROKER, Fault.STORE, Fault.RECORDER],
}


@pytest.fixture(params=["rabbitmq", "redis", *(["rabbitmq, quorum queue"] if LONG else [])])
def broker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def system(broker: str, tmp_path: Path, celery_processes: CeleryProcesses) -> Iterator[System]:
    """Servers of the test's own, since it stops them; two workers and a recorder."""
    with ExitStack() as servers:
        where: Broker
        ledger: LedgerDatabase
        if broker.startswith("rabbitmq"):
            where, ledger = Rabbit(), Postgres()
        else:
            where, ledger = Store(), Sqlite(tmp_path / "ledger.db")
        servers.callback(where.stop)
        servers.callback(ledger.stop)
        store = Store()
        servers.callback(store.stop)
        system = System(tmp_path, where, ledger, store, celery_processes, "quorum" if "quorum" in broker else "")
        system.start()
        yield system
        celery_processes.stop()


def test_every_message_ends_once(system: System, broker: str) -> None:
    """As a success or as one record of the ledger; the audit says the same."""
    faults = EVERY_FAULT * 2 if LONG else FAULTS[broker]
    report = run(system, broker=broker, seed=SEED, count=MESSAGES, faults=faults, patience=PATIENCE)
    print(report)
    found = report.account
    assert not found.missing, report
    assert not found.both, report
    assert not found.recorded_twice, report
    assert not found.strayed, report
    assert not report.unexpected, report
    assert system.failed_imports() == 0
    assert (report.audit["lost"], report.audit["undecided"], report.audit["in_flight"]) == (0, 0, 0), report

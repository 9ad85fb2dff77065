"""What install(app) adds to the memory of an idle worker, beside plain Celery in the same run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from celery import Celery

from fluxora_tasks.devstack.process import ManagedProcess
from tests.processes import CeleryProcesses
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

#: KiB; the budget of the design.
BUDGET = 10 * 1024
#: Enough that every child has run some.
TASKS = 40

PLAIN, INSTALLED = "tests.apps.guest_of_nobody", "tests.apps.guest"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory of one worker in KiB.

    Attributes:
        main: Resident in its main process.
        everything: Of the main process and its children, what they share counted once (PSS).
    """

    main: int
    everything: int


def footprint(pid: int) -> Footprint:
    """As the kernel counts it now."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    shares = [_kib(Path(f"/proc/{one}/smaps_rollup"), "Pss") for one in (str(pid), *children)]
    return Footprint(_kib(Path(f"/proc/{pid}/smaps_rollup"), "Rss"), sum(shares))


def _kib(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def after_work(worker: ManagedProcess, client: Celery, app: str) -> Footprint:
    """Its footprint once its children have run tasks and it is idle again."""
    results = [client.send_task(f"{app}.double", (number,)) for number in range(TASKS)]
    assert [result.get(timeout=30) for result in results] == [2 * number for number in range(TASKS)]
    return footprint(worker.pid)


def idle(worker: ManagedProcess) -> Footprint:
    """Its footprint once every child is up."""
    wait_until(lambda: len(Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()) == 2)
    return footprint(worker.pid)


def test_a_worker_costs_at_most_ten_mib_more(store: StoreServer, celery_processes: CeleryProcesses) -> None:
    """Idle and after work, in the main process and in all together: results and broker in Redis, two children."""
    measured = {}
    for database, app in ((0, PLAIN), (3, INSTALLED)):
        urls = {"GUEST_BROKER": store.broker_url(database), "GUEST_RESULTS": store.broker_url(1)}
        worker = celery_processes.worker(app, {**urls, "FLUXORA_REDIS_URL": store.state_url(2)}, name=app)
        client = Celery(broker=urls["GUEST_BROKER"], backend=urls["GUEST_RESULTS"], set_as_current=False)
        measured[app] = (idle(worker), after_work(worker, client, app))
    for when, plain, ours in zip(("idle", "after work"), measured[PLAIN], measured[INSTALLED], strict=True):
        assert ours.main - plain.main <= BUDGET, (when, plain, ours)
        assert ours.everything - plain.everything <= BUDGET, (when, plain, ours)

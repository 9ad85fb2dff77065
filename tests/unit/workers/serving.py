"""A demand service on the loopback address, for one test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from workers.demand.faults import Outage, Schedule
from workers.demand.service import DemandService


@contextmanager
def serving(plan: Schedule | None = None, outage: Outage | None = None) -> Iterator[DemandService]:
    """Serve in a thread until the block ends."""
    with DemandService(plan, outage) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()

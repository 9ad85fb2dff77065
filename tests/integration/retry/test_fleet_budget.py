"""RetryBudget.shared on a real store, kept up by the process's own thread."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from fluxora_tasks import shared
from fluxora_tasks.lane import lane_of
from fluxora_tasks.retry import RetryBudget, retry
from fluxora_tasks.state import StateStore
from tests.servers import StoreServer
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

#: A process that fails a thousand calls, and says how many retries it was allowed.
SCRIPT = """
import sys
from fluxora_tasks import shared
from fluxora_tasks.retry import RetryBudget, retry
from fluxora_tasks.state import StateStore
shared.use(lambda: StateStore(sys.argv[1]))
calls = 0
@retry(max_attempts=5, base_delay=0, jitter=False, budget=RetryBudget.shared("api", ratio=0.2, floor=0.0))
def fail():
    global calls
    calls += 1
    raise ConnectionError
for _ in range(1000):
    try:
        fail()
    except ConnectionError:
        pass
print(calls - 1000)
"""


@pytest.fixture
def state(store: StoreServer) -> Iterator[StateStore]:
    """Shared state of this process."""
    state = StateStore(store.state_url(2))
    shared.use(lambda: state)
    yield state
    lane_of(state).stop(5)
    state.close()


def test_the_fleet_has_one_allowance(store: StoreServer, state: StateStore) -> None:
    """Three processes that fail a thousand calls each make a fifth as many retries, together; each may round up."""
    command = [sys.executable, "-c", SCRIPT, store.state_url(2)]
    fleet = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    retries = [int(process.communicate(timeout=60)[0]) for process in fleet]
    print(f"retries {retries}")
    assert sum(retries) <= 600 + len(fleet)


def test_what_one_process_uses_another_lacks(store: StoreServer, state: StateStore) -> None:
    """Its first attempts count for this one, too, as soon as they are heard of."""
    budget = RetryBudget.shared("api", ratio=0.5, floor=0.0)
    guarded = retry(max_attempts=2, base_delay=0, budget=budget)(lambda: 7)
    assert guarded() == 7
    assert not budget.withdraw()
    others = RetryBudget.shared("api", ratio=0.5, floor=0.0)
    for _ in range(100):
        others.first()
    wait_until(budget.withdraw, 15, "an allowance by the first attempts of others")

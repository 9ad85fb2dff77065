"""``python -m benchmarks.calls``: what a circuit around a function costs, beside pybreaker and beside the bare call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

import pybreaker
import redis
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from fluxora_tasks import BreakerPolicy, CircuitBreaker, CircuitBreakerError, shared
from fluxora_tasks.lane import lane_of
from fluxora_tasks.state import StateStore
from tests.servers import PrivateStore

ROUNDS = 7

#: Seconds of one round of one side.
SPAN = 0.15


@dataclass(frozen=True)
class Side:
    """One way of calling; ``uses_store`` where commands are counted."""

    name: str
    call: Callable[[], Any]
    uses_store: bool = False


def bare() -> int:
    """What is called."""
    return 1


def main() -> None:
    """Measure every side in turns, several rounds, and print."""
    console = Console(width=None if Console().is_terminal else 140)
    console.print(f"{describe()}, pybreaker {version('pybreaker')}\n", highlight=False)
    with private_store() as url, connected(url) as client:
        for title, sides in (("a call that succeeds", passing(url)), ("a call that is refused", refusing(url))):
            console.print(drawn(title, sides, measured(sides, client)))
            console.print()


def passing(url: str) -> list[Side]:
    """Closed circuits."""
    return [
        Side("the bare call", bare),
        Side("CircuitBreaker of this process", CircuitBreaker()(bare)),
        Side("the same, calls timed (slow_call)", CircuitBreaker(policy=BreakerPolicy(slow_call=1.0))(bare)),
        Side("CircuitBreaker shared through Redis", CircuitBreaker(name="shared")(bare), uses_store=True),
        Side("pybreaker in memory", pybreaker.CircuitBreaker()(bare)),
        Side(
            "pybreaker with Redis",
            pybreaker.CircuitBreaker(state_storage=storage(url, "closed"))(bare),
            uses_store=True,
        ),
    ]


def refusing(url: str) -> list[Side]:
    """Open circuits."""
    ours, named = CircuitBreaker(1, 3600), CircuitBreaker(1, 3600, name="ill")
    theirs = pybreaker.CircuitBreaker(1, 3600)
    stored = pybreaker.CircuitBreaker(1, 3600, state_storage=storage(url, "open"))
    sides = [
        Side("the bare call", bare),
        Side("CircuitBreaker of this process", caught(ours(bare), CircuitBreakerError)),
        Side("CircuitBreaker shared through Redis", caught(named(bare), CircuitBreakerError), uses_store=True),
        Side("pybreaker in memory", caught(theirs(bare), pybreaker.CircuitBreakerError)),
        Side("pybreaker with Redis", caught(stored(bare), pybreaker.CircuitBreakerError), uses_store=True),
    ]
    for circuit in (ours, named):
        circuit.acquire().failure()
    for opened in (theirs, stored):
        opened.open()
    time.sleep(0.2)  # the store's verdict on ours
    return sides


def caught(function: Callable[[], Any], error: type[Exception]) -> Callable[[], Any]:
    """The call, as a caller makes it who goes on without."""

    def call() -> None:
        try:
            function()
        except error:
            return
        raise AssertionError("it was not refused")

    return call


def storage(url: str, namespace: str) -> pybreaker.CircuitRedisStorage:
    """pybreaker's own way of sharing."""
    return pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, redis.Redis.from_url(url), namespace=namespace)


def measured(sides: Sequence[Side], client: redis.Redis) -> dict[str, list[tuple[float, float]]]:
    """Microseconds and commands per call, per side and round; the sides take turns."""
    found: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
    for side in sides:
        side.call()
    for _ in range(ROUNDS):
        for side in sides:
            found[side.name].append(one_round(side, client))
    return found


def one_round(side: Side, client: redis.Redis) -> tuple[float, float]:
    """Calls for a fixed time."""
    call, calls = side.call, 0
    before = commands(client) if side.uses_store else 0
    began = time.perf_counter()
    while (took := time.perf_counter() - began) < SPAN:
        for _ in range(200):
            call()
        calls += 200
    used = commands(client) - before - 1 if side.uses_store else 0
    return took / calls * 1e6, used / calls


def commands(client: redis.Redis) -> int:
    """What the server has executed, commands inside scripts included."""
    stats: Any = client.info("commandstats")
    return sum(figures["calls"] for figures in stats.values())


def drawn(title: str, sides: Sequence[Side], found: dict[str, list[tuple[float, float]]]) -> Table:
    """The figures as a table; every ratio is of medians of this very run."""
    table = Table(title=f"{title}; median (best) of {ROUNDS} rounds", title_justify="left")
    table.add_column("")
    for name in ("µs per call", "above the bare call", "pybreaker costs", "commands per call"):
        table.add_column(name, justify="right")
    middle = {name: median(took for took, _ in rounds) for name, rounds in found.items()}
    floor = middle[sides[0].name]
    for side in sides:
        rounds, own = found[side.name], middle[side.name]
        rival = middle["pybreaker with Redis" if side.uses_store else "pybreaker in memory"]
        ratio = (
            f"{(rival - floor) / (own - floor):,.1f} × as much" if side.name.startswith(("Circuit", "the same")) else ""
        )
        used = f"{median(count for _, count in rounds):.4f}" if side.uses_store else ""
        above = f"{own - floor:.2f}" if side is not sides[0] else ""
        table.add_row(side.name, f"{own:.2f} ({min(took for took, _ in rounds):.2f})", above, ratio, used)
    return table


@contextmanager
def private_store() -> Iterator[str]:
    """A server of its own, and this process's shared state on it."""
    server = PrivateStore()
    state = StateStore(server.server.state_url())
    shared.use(lambda: state)
    try:
        yield server.server.state_url()
    finally:
        lane_of(state).stop()
        state.close()
        server.stop()


@contextmanager
def connected(url: str) -> Iterator[redis.Redis]:
    """A client that counts."""
    with redis.Redis.from_url(url) as client:
        yield client


if __name__ == "__main__":
    main()

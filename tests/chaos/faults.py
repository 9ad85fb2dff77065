"""What is done to the system; each returns when the part is back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

from tests.chaos.plan import Blow, Fault
from tests.chaos.system import WORKERS, System

T = TypeVar("T")

#: Seconds the ledger is away, at least and at most.
_AWAY: Final = (2.0, 5.0)


def strike(system: System, blow: Blow) -> None:
    """Do it."""
    _DEEDS[blow.fault](system, blow.choice)


def _kill_child(system: System, choice: float) -> None:
    pid = _pick([pid for name in WORKERS for pid in system.children(name)], choice)
    system.killed.add(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _kill_worker(system: System, choice: float) -> None:
    """Only the main process; its children are left to themselves, as the kernel's out-of-memory killer does it."""
    name = _pick(list(WORKERS), choice)
    _end_worker(system, name)
    system.start_worker(name)


def _end_worker(system: System, name: str) -> None:
    system.killed.update(system.children(name))
    os.kill(system.processes[name].pid, signal.SIGKILL)


def _restart_broker(system: System, choice: float) -> None:
    system.broker.restart()


def _restart_broker_politely(system: System, choice: float) -> None:
    system.broker.restart(politely=True)


def _restart_store(system: System, choice: float) -> None:
    system.store.restart()


def _kill_recorder(system: System, choice: float) -> None:
    os.kill(system.processes["recorder"].pid, signal.SIGKILL)
    system.start_recorder()


def _take_ledger_away(system: System, choice: float) -> None:
    system.ledger.be_away(_seconds(choice))


def _kill_workers_without_broker(system: System, choice: float) -> None:
    system.broker.restart(meanwhile=lambda: [_end_worker(system, name) for name in WORKERS])
    for name in WORKERS:
        system.start_worker(name)


def _kill_recorder_without_ledger(system: System, choice: float) -> None:
    system.ledger.be_away(_seconds(choice), meanwhile=lambda: _kill_recorder(system, choice))


def _seconds(choice: float) -> float:
    shortest, longest = _AWAY
    return shortest + choice * (longest - shortest)


_DEEDS: Final[Mapping[Fault, Callable[[System, float], None]]] = {
    Fault.CHILD: _kill_child,
    Fault.WORKER: _kill_worker,
    Fault.BROKER: _restart_broker,
    Fault.BROKER_POLITE: _restart_broker_politely,
    Fault.STORE: _restart_store,
    Fault.RECORDER: _kill_recorder,
    Fault.LEDGER: _take_ledger_away,
    Fault.WORKERS_BROKERLESS: _kill_workers_without_broker,
    Fault.RECORDER_LEDGERLESS: _kill_recorder_without_ledger,
}


def _pick(options: list[T], choice: float) -> T:
    return options[min(int(choice * len(options)), len(options) - 1)]

"""The machine a figure was measured on, and processes seen from outside [Linux]."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_LIBRARIES = ("celery", "kombu", "billiard", "amqp", "redis", "fluxora-tasks")


def describe() -> str:
    """Processor, cores, load, kernel, Python and the libraries involved."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return f"{_processor()}, {cores} cores, load {load:.1f}, {system}\n{libraries}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def children_of(pid: int) -> list[int]:
    """Process ids of the direct children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, all its threads; steps of a clock tick, 10 ms mostly."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mib(pid: int) -> float:
    """Resident memory, shared pages included."""
    return _rollup(pid, "Rss")


def pss_mib(pid: int) -> float:
    """Resident memory, shared pages divided among those that share them."""
    return _rollup(pid, "Pss")


def _rollup(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(name)

"""Parts that begin anew in a forked child, which has neither their threads nor whoever held their locks."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """Something with a life of its own in each process."""

    def forked(self) -> None:
        """Start anew; called in the child before anything else."""
        ...


_all: weakref.WeakSet[Forked] = weakref.WeakSet()


def watch_forks(part: Forked) -> None:
    """Tell it in every child, as long as it lives."""
    _all.add(part)


def _after_fork() -> None:
    for part in tuple(_all):
        part.forked()


os.register_at_fork(after_in_child=_after_fork)

"""Budgets: an allowance of retries, so that they cannot multiply what a dependency in trouble has to bear (pure)."""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from typing import Final, Protocol, runtime_checkable

from fluxora_tasks.classification import Outcome, is_timeout
from fluxora_tasks.errors import ConfigurationError

FAILURE_COST: Final = 5.0
TIMEOUT_COST: Final = 10.0

#: What a success that needed no retry gives back.
SUCCESS_GIVES: Final = 1.0


@runtime_checkable
class Budget(Protocol):
    """What is asked before a retry is waited for.

    Attributes:
        full: Nothing is missing, so that a success need not be told.
        counting: First attempts must be told, too.
    """

    full: bool
    counting: bool

    def first(self) -> None:
        """A first attempt is made."""
        ...

    def withdraw(self, cost: float = FAILURE_COST) -> bool:
        """Whether there is enough for one retry; takes it if so."""
        ...

    def deposit(self, amount: float = SUCCESS_GIVES) -> None:
        """An attempt succeeded: give back what its retry took, or ``SUCCESS_GIVES`` if it was the first."""
        ...


def cost_of(error: BaseException, outcome: Outcome) -> float:
    """What a retry after this failure costs: a timeout twice as much, it held a place at the other side for longest."""
    return TIMEOUT_COST if outcome is not Outcome.THROTTLED and is_timeout(error) else FAILURE_COST


#: One for all budgets, held for a few instructions; a forked child gets another, for this one may be held at the fork.
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


class TokenBucket:
    """A bucket of tokens in this process: retries take from it, successes give back, time does not.

    Safe for threads and forks; a forked child goes on with a copy.

    Args:
        capacity: Tokens it holds, and begins with; 500 are a hundred retries after failures in a row.
    """

    counting = False

    def __init__(self, capacity: float = 500.0) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, (int, float)) or not 0 <= capacity < float("inf"):
            raise ConfigurationError(f"capacity is a number of tokens from 0; got {capacity!r}")
        self.capacity = float(capacity)
        self.tokens = self.capacity
        self.full = True

    def first(self) -> None:
        """A first attempt is made; nothing to a bucket."""

    def withdraw(self, cost: float = FAILURE_COST) -> bool:
        """Whether there are so many tokens; takes them if so."""
        with _lock:
            if self.tokens < cost:
                return False
            self.tokens -= cost
            self.full = False
            return True

    def deposit(self, amount: float = SUCCESS_GIVES) -> None:
        """Give tokens back; what does not fit is lost."""
        with _lock:
            self.tokens = min(self.capacity, self.tokens + amount)
            self.full = self.tokens >= self.capacity


class NoBudget:
    """Every retry is allowed."""

    full = True
    counting = False

    def first(self) -> None:
        """Nothing."""

    def withdraw(self, cost: float = FAILURE_COST) -> bool:
        """Always."""
        return True

    def deposit(self, amount: float = SUCCESS_GIVES) -> None:
        """Nothing."""


UNLIMITED: Final = NoBudget()


@lru_cache(maxsize=1024)
def local_budget(subject: object) -> TokenBucket:
    """This process's own bucket for what is named so (a function, a task), or for a policy."""
    return TokenBucket()


def budget_of(budget: Budget | bool | None, subject: object) -> Budget:
    """The budget in force: the given one; ``None`` or ``True``: the subject's own of this process; ``False``: none."""
    if budget is None or budget is True:
        return local_budget(subject)
    return UNLIMITED if budget is False else budget

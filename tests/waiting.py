"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], limit: float = 30.0, what: str = "the condition") -> T:
    """The first true value of the condition, asked every 20 ms; fails after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {limit} s (last: {value!r})"
        time.sleep(0.02)

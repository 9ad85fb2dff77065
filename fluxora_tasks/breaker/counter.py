"""Counter: counts without a lock."""

from __future__ import annotations

import itertools


class Counter:
    """
    A number that many threads raise by one: ``next`` of an ``itertools.count`` is one step of the interpreter.

    Reading is for one thread at a time.

    Attributes:
        add: Raises it by one.
    """

    __slots__ = ("_asked", "_source", "_told", "add")

    def __init__(self) -> None:
        self._source = itertools.count()
        self.add = self._source.__next__
        self._asked, self._told = 0, 0

    def pending(self) -> int:
        """By how much it was raised since the last ``take``."""
        self._asked += 1  # counting is the only way to read, so what was read is subtracted
        return next(self._source) - (self._asked - 1) - self._told

    def take(self) -> int:
        """The same; from now on it counts anew."""
        taken = self.pending()
        self._told += taken
        return taken

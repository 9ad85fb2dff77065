"""Rolling counts of a circuit (pure): a ring of buckets that are forgotten one by one, and who reported failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from fluxora_tasks.breaker.policy import BreakerPolicy
from fluxora_tasks.breaker.record import Counts

#: Workers whose failures are told apart; ``BreakerPolicy.min_reporters`` is at most this.
MOST_REPORTERS: Final = 32


@dataclass(frozen=True, slots=True)
class Bucket:
    """Counts of one slice of time; ``number`` is its start divided by the length of a bucket."""

    number: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Window:
    """
    What was reported lately; a bucket that a policy of another geometry wrote falls out of range by its number.

    Attributes:
        bucket_ms: Length of a bucket, as of the last report.
        buckets: How many make the window, as of the last report.
        ring: Slot -> bucket; the slot is the bucket's number modulo ``buckets``.
        reporters: Worker -> number of the bucket of its last failure or slow call.
    """

    bucket_ms: int = 0
    buckets: int = 0
    ring: Mapping[int, Bucket] = field(default_factory=lambda: MappingProxyType({}))
    reporters: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def shaped(self, policy: BreakerPolicy) -> Window:
        """The same counts as this policy looks at them."""
        return replace(self, bucket_ms=policy.bucket_ms, buckets=policy.buckets)

    def with_counts(self, counts: Counts, now_ms: int) -> Window:
        """With these counts in the bucket of now."""
        number = now_ms // self.bucket_ms
        slot = number % self.buckets
        there = self.ring.get(slot)
        sum_ = there.counts + counts if there is not None and there.number == number else counts
        return replace(self, ring={**self.ring, slot: Bucket(number, sum_)})

    def with_reporter(self, reporter: str, now_ms: int) -> Window:
        """With this worker among those that saw failures; of more than ``MOST_REPORTERS`` the first ones count."""
        seen = {one: number for one, number in self.reporters.items() if self._holds(number, now_ms)}
        if reporter in seen or len(seen) < MOST_REPORTERS:
            seen[reporter] = now_ms // self.bucket_ms
        return replace(self, reporters=seen)

    def total(self, now_ms: int) -> Counts:
        """Sums of the buckets that are still in the window."""
        return sum((one.counts for one in self.ring.values() if self._holds(one.number, now_ms)), Counts())

    def seen_by(self, now_ms: int) -> tuple[str, ...]:
        """Workers that saw failures or slow calls in the window, sorted."""
        return tuple(sorted(one for one, number in self.reporters.items() if self._holds(number, now_ms)))

    def _holds(self, number: int, now_ms: int) -> bool:
        if self.buckets == 0:
            return False
        current = now_ms // self.bucket_ms
        return current - self.buckets < number <= current


def exceeded(policy: BreakerPolicy, counts: Counts, reporters: int) -> str:
    """The rule that these counts of a window break, or ``""``; reaching a threshold is enough."""
    if reporters < policy.min_reporters:
        return ""
    if counts.calls >= policy.min_calls:
        if counts.failures / counts.calls >= policy.failure_rate:
            return "failure_rate"
        if counts.slow / counts.calls >= policy.slow_rate:
            return "slow_rate"
    without_success = counts.failures >= counts.calls
    if policy.all_failed is not None and without_success and counts.failures >= policy.all_failed:
        return "all_failed"
    return ""

"""retry(): plain and async functions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fluxora_tasks import NonRetryableError, RetryableError, retry


class Flaky:
    """Fails the first n calls."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.calls, self._failures, self._error = 0, failures, error

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return self.calls


def run(flaky: Flaky, asynchronous: bool, waits: list[float], **options: Any) -> Any:
    if not asynchronous:
        return retry(sleep=waits.append, **options)(lambda: flaky())()

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async def function() -> int:
        return flaky()

    return asyncio.run(retry(sleep=wait, **options)(function)())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_it_tries_until_it_succeeds(asynchronous: bool) -> None:
    """Two failures, then a success, with the delays of the curve between."""
    waits: list[float] = []
    assert run(Flaky(2, ValueError()), asynchronous, waits, jitter=False) == 3
    assert waits == [1.0, 2.0]


def test_the_last_error_is_raised_as_it_is(asynchronous: bool) -> None:
    """After max_attempts runs nobody waits any more."""
    waits: list[float] = []
    flaky, error = Flaky(9, ValueError("same")), ValueError("same")
    flaky._error = error
    with pytest.raises(ValueError, match="same") as caught:
        run(flaky, asynchronous, waits, max_attempts=3)
    assert caught.value is error
    assert (flaky.calls, len(waits)) == (3, 2)


@pytest.mark.parametrize("exceptions", [KeyError, (KeyError,), [KeyError, TypeError]])
def test_other_errors_are_not_retried(asynchronous: bool, exceptions: Any) -> None:
    """A type, a tuple or a list of types is accepted; what is not in it goes through."""
    flaky = Flaky(1, ValueError())
    with pytest.raises(ValueError):  # noqa: PT011
        run(flaky, asynchronous, [], retry_exceptions=exceptions)
    assert flaky.calls == 1


def test_non_retryable_is_never_retried(asynchronous: bool) -> None:
    """Even where every exception is."""
    flaky = Flaky(1, NonRetryableError("no"))
    with pytest.raises(NonRetryableError):
        run(flaky, asynchronous, [])
    assert flaky.calls == 1


def test_retry_after_is_kept(asynchronous: bool) -> None:
    """The other side's wait is a floor under the backoff."""
    waits: list[float] = []
    run(Flaky(1, RetryableError("busy", 20)), asynchronous, waits)
    assert 20 <= waits[0] <= 21


def test_the_decorated_function_keeps_its_name() -> None:
    """functools.wraps."""

    @retry()
    def fetch() -> None:
        """Fetch."""

    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch.")

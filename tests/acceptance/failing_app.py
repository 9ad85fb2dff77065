"""A Celery app whose tasks fail in every way the tests need; started as a real worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import Ignore, Reject

from fluxora_tasks import NonRetryableError, RetryableError, RetryPolicy, install

app = Celery("failing")
app.conf.update(task_default_queue=os.environ.get("TEST_QUEUE", "celery"), worker_prefetch_multiplier=4)
install(app)

QUICK = RetryPolicy(max_attempts=3, base_delay=0.05, jitter=False)


class Unpicklable(Exception):
    """An exception that does not survive pickle."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.handle = lambda: second


@app.task(name="echo")
def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


@app.task(name="raise_value_error")
def raise_value_error(text: str = "broken") -> None:
    raise ValueError(text)


@app.task(name="never_again", retry_policy=QUICK)
def never_again() -> None:
    raise NonRetryableError("do not even try")


@app.task(name="always_down", retry_policy=QUICK)
def always_down() -> None:
    raise ConnectionRefusedError("down")


@app.task(name="down_until", bind=True, retry_policy=QUICK)
def down_until(self: Any, attempt: int) -> int:
    if self.request.retries + 1 < attempt:
        raise RetryableError("not yet")
    return attempt


def _die(self: Any, *_: Any) -> None:
    """Celery calls it when the next attempt has been sent, and nobody knows of that yet."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="dies_after_its_retry", bind=True, retry_policy=QUICK, on_retry=_die)
def dies_after_its_retry(self: Any) -> str:
    if self.request.retries == 0:
        raise RetryableError("not yet")
    return "done"


@app.task(name="unpicklable")
def unpicklable() -> None:
    raise Unpicklable("one", "two")


@app.task(name="fails_until_repaired")
def fails_until_repaired(path: str, *payload: Any) -> str:
    if not Path(path).exists():
        raise ValueError("not repaired")
    return "repaired"


@app.task(name="third_run_when_repaired", bind=True, retry_policy=QUICK)
def third_run_when_repaired(self: Any, path: str) -> str:
    if not Path(path).exists() or self.request.retries < 2:
        raise RetryableError("not yet")
    return "repaired"


def _run_noted(path: str) -> str:
    with Path(f"{path}.runs").open("a") as runs:
        runs.write("run\n")
    return str(_needs(path, "repaired"))


@app.task(name="noted")
def noted(path: str) -> str:
    """Leaves a line per run beside the file."""
    return _run_noted(path)


@app.task(name="numbered", bind=True)
def numbered(self: Any, path: str, number: int) -> None:
    """Leaves a line for each run that succeeds, and one for each that does not: its number and that of the replay."""
    is_repaired = Path(path).exists()
    line = f"{number} {self.request.get('fx_replay_no', 0)}\n"
    with Path(f"{path}.{'succeeded' if is_repaired else 'failed'}").open("a") as runs:
        runs.write(line)
    if not is_repaired:
        raise ValueError("not repaired")


@app.task(name="strict", strict_replay=True)
def strict(path: str) -> str:
    return _run_noted(path)


@app.task(name="kill_myself")
def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="too_slow", time_limit=1)
def too_slow() -> None:
    time.sleep(60)


@app.task(name="out_of_memory")
def out_of_memory() -> None:
    raise MemoryError("no more")


@app.task(name="exits")
def exits() -> None:
    raise SystemExit(3)


@app.task(name="base_exception")
def base_exception() -> None:
    raise KeyboardInterrupt


@app.task(name="soft_limit", soft_time_limit=1, time_limit=30)
def soft_limit() -> None:
    time.sleep(60)


@app.task(name="two_arguments")
def two_arguments(first: int, second: int) -> None: ...


@app.task(name="ignored")
def ignored() -> None:
    raise Ignore


@app.task(name="rejected")
def rejected() -> None:
    raise Reject("not mine", requeue=False)


@app.task(name="celery_retries", bind=True, max_retries=1, default_retry_delay=0)
def celery_retries(self: Any) -> None:
    try:
        raise KeyError("k")
    except KeyError as exc:
        raise self.retry(exc=exc, countdown=0) from exc


@app.task(name="autoretried", autoretry_for=(KeyError,), max_retries=1, retry_backoff=False, default_retry_delay=0)
def autoretried() -> None:
    raise KeyError("k")


@app.task(name="opted_out", dead_letter=False)
def opted_out() -> None:
    raise ValueError("nobody keeps this")


@app.task(name="killer", reject_on_worker_lost=True)
def killer(path: str, whom: str) -> None:
    """Leaves a line per run, then takes its child or the whole worker down."""
    with Path(path).open("a") as runs:
        runs.write("run\n")
    os.kill(os.getppid() if whom == "worker" else os.getpid(), signal.SIGKILL)
    time.sleep(60)


@app.task(name="never_ends", time_limit=1, acks_on_timeout=False)
def never_ends(path: str) -> None:
    with Path(path).open("a") as runs:
        runs.write("run\n")
    time.sleep(60)


@app.task(name="bystander")
def bystander(path: str, number: int) -> None:
    with Path(path).open("a") as runs:
        runs.write(f"{number}\n")


def _needs(path: str, value: Any) -> Any:
    if not Path(path).exists():
        raise ValueError("not repaired")
    return value


@app.task(name="add_one")
def add_one(number: int) -> int:
    return number + 1


@app.task(name="add_when_repaired")
def add_when_repaired(number: int, path: str) -> int:
    return int(_needs(path, number + 10))


@app.task(name="add_when_repaired_parked", on_dead="park")
def add_when_repaired_parked(number: int, path: str) -> int:
    return int(_needs(path, number + 10))


@app.task(name="total")
def total(numbers: list[int]) -> list[int]:
    return numbers


@app.task(name="note")
def note(*args: Any, path: str, what: str) -> None:
    """A callback or error callback: leaves a line."""
    with Path(path).open("a") as lines:
        lines.write(f"{what}\n")

"""Private servers, and one worker per side that can be held still while its queue is filled."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from celery import Celery

from benchmarks.app import VARIABLE, AppOptions, make_app
from benchmarks.counter import RunCounter
from benchmarks.machine import children_of, cpu_seconds, pss_mib, rss_mib
from benchmarks.measuring import Side
from fluxora_tasks.devstack.process import ManagedProcess, Program
from tests.servers import PrivateRabbit, PrivateStore

_ROOT: Final = Path(__file__).resolve().parent.parent
_POLL: Final = 0.002
#: Seconds after which a round counts as stuck.
_LIMIT: Final = 120.0
CONCURRENCY: Final = 2
#: Two databases of one server, or two virtual hosts of one node: the sides share nothing.
_DATABASES: Final = {Side.PLAIN: 0, Side.OURS: 1}


class Bench:
    """The servers of one run, started when first asked for.

    Args:
        scale: Factor on the number of messages of a round.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._stack = ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="fluxora-bench-"))
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)

    def close(self) -> None:
        """End every server and remove what they left."""
        self._stack.close()

    def scaled(self, number: int) -> int:
        """So many messages, at the run's scale."""
        return max(10, round(number * self._scale))

    @cached_property
    def _store(self) -> PrivateStore:
        store = PrivateStore()
        self._stack.callback(store.stop)
        return store

    @cached_property
    def _rabbit(self) -> tuple[PrivateRabbit, str]:
        node = PrivateRabbit()
        self._stack.callback(node.stop)
        return node, node.await_ready().address

    def options(self, side: Side, broker: str, **settings: Any) -> AppOptions:
        """An application of its own: fresh database or virtual host, fresh counter."""
        database = _DATABASES[side]
        store = self._store.server
        if broker == "redis":
            url = store.broker_url(database)
        else:
            node, address = self._rabbit
            url = f"{address}/{node.fresh_vhost()}"
        handle, counter = tempfile.mkstemp(prefix=f"{side}-", dir=self.directory)
        os.close(handle)
        Path(counter).unlink()
        return AppOptions(side, url, store.broker_url(database + 2), counter, settings)

    @contextmanager
    def client(self, side: Side, broker: str, **settings: Any) -> Iterator[Celery]:
        """An application in this process, for publishing only."""
        self._store.server.empty()
        app = make_app(self.options(side, broker, **settings))
        try:
            yield app
        finally:
            app.close()

    @contextmanager
    def worker(self, side: Side, broker: str, *arguments: str, **settings: Any) -> Iterator[Worker]:
        """A worker of one side that is ready."""
        worker = Worker(self.options(side, broker, **settings), self.directory, arguments)
        try:
            worker.await_ready()
            yield worker
        finally:
            worker.stop()

    @contextmanager
    def both(self, broker: str, *arguments: str) -> Iterator[dict[Side, Worker]]:
        """A worker of each side; who is not measured is held still."""
        if broker == "redis":
            self._store.server.empty()
        with ExitStack() as stack:
            workers = {side: stack.enter_context(self.worker(side, broker, *arguments)) for side in Side}
            for worker in workers.values():
                worker.hold()
            yield workers


@dataclass(frozen=True, slots=True)
class Drain:
    """How a worker emptied its queue.

    Attributes:
        seconds: From the release of the worker to its last run.
        settled: From there to the last dead letter, on our side.
        main_cpu: Seconds of CPU in the main process.
        pool_cpu: Seconds of CPU in its children.
    """

    seconds: float
    settled: float
    main_cpu: float
    pool_cpu: float


class Worker:
    """A worker process of one side, and the application to send with."""

    def __init__(self, options: AppOptions, directory: Path, arguments: tuple[str, ...]) -> None:
        self.side = options.side
        self.counter = RunCounter(options.counter)
        self.app = make_app(options)
        name = f"{options.side}-{Path(options.counter).name}"
        self._process = ManagedProcess(
            Program(
                name,
                [
                    *(
                        sys.executable,
                        "-m",
                        "celery",
                        "-A",
                        "benchmarks.app",
                        "worker",
                        "--hostname",
                        f"{name}@localhost",
                    ),
                    *(
                        "--concurrency",
                        str(CONCURRENCY),
                        "--loglevel",
                        "WARNING",
                        "--without-gossip",
                        "--without-mingle",
                    ),
                    *arguments,
                ],
                directory / f"{name}.log",
                {**os.environ, VARIABLE: options.to_json(), "PYTHONUNBUFFERED": "1"},
                _ROOT,
            )
        )

    @property
    def pids(self) -> list[int]:
        """The main process, then its children."""
        return [self._process.pid, *children_of(self._process.pid)]

    def await_ready(self) -> None:
        """Wait until it takes messages."""
        self.send("noop", 1)
        self._await(lambda: self.counter.total() == 1)

    def send(self, task: str, number: int) -> None:
        """Send so many messages, as an application would."""
        send = self.app.tasks[task].delay
        for _ in range(number):
            send()

    def hold(self) -> None:
        """Keep all its processes still, as they are."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them run again."""
        for pid in reversed(self.pids):
            os.kill(pid, signal.SIGCONT)

    def drain(self, task: str, number: int, *, dead_letters: bool = False) -> Drain:
        """Fill the queue of the held worker, let it run, and hold it again when it is through."""
        self.counter.reset()
        dead_before = self._dead_letters() if dead_letters else 0
        self.send(task, number)
        before = self._cpu()
        start = time.perf_counter()
        self.go_on()
        self._await(lambda: self.counter.total() >= number)
        end = time.perf_counter()
        if dead_letters:
            self._await(lambda: self._dead_letters() >= dead_before + number)
        settled = time.perf_counter() - end
        self._await(self._is_quiet)
        after = self._cpu()
        self.hold()
        return Drain(end - start, settled, after[0] - before[0], after[1] - before[1])

    def memory(self) -> tuple[float, float]:
        """MiB: resident memory of the main process, and the sum of what all of them take for themselves."""
        pids = self.pids
        return rss_mib(pids[0]), sum(pss_mib(pid) for pid in pids)

    def stop(self) -> None:
        """End it, however it is."""
        self._process.kill()
        self.app.close()

    def _cpu(self) -> tuple[float, float]:
        main, *children = self.pids
        return cpu_seconds(main), sum(cpu_seconds(pid) for pid in children)

    def _dead_letters(self) -> int:
        settings = self.app.fluxora.settings
        with self.app.connection_for_read() as connection:
            try:
                declared = connection.default_channel.queue_declare(settings.dead_letter_queue, passive=True)
            except connection.channel_errors:
                return 0
            return int(declared.message_count)

    def _is_quiet(self) -> bool:
        """Whether it used no CPU for a moment: what was left to acknowledge is acknowledged."""
        before = self._cpu()
        time.sleep(0.05)
        return self._cpu() == before

    def _await(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _LIMIT
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker of side {self.side} is stuck:\n{self._process.tail(20)}")
            time.sleep(_POLL)

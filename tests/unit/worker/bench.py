"""A request without a worker: pool and outboxes are the test's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import Celery
from celery.worker.request import create_request_cls

from fluxora_tasks import BreakerPolicy, Settings, install
from fluxora_tasks.breaker.live import LiveBreaker
from fluxora_tasks.breaker.permit import Refusal
from fluxora_tasks.worker.admission import GatedRequest
from fluxora_tasks.worker.books import Books
from fluxora_tasks.worker.gate import ReplayGate
from fluxora_tasks.worker.runtime import WorkerRuntime

#: One failure opens it for long.
POLICY = BreakerPolicy(all_failed=1, cooldown=300.0)


class Box:
    """An outbox; what it is given is confirmed at once, or when the test says so."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def submit(self, note: Any, release: Any) -> None:
        self.notes.append(note)
        release()

    def __len__(self) -> int:
        return 0


class Pool:
    """Takes runs and does not make them."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.broken = False

    def apply_async(self, target: Any, args: Any, **callbacks: Any) -> None:
        if self.broken:
            raise OSError("no process")
        self.runs.append({"request": args[2], **callbacks})

    @property
    def run(self) -> dict[str, Any]:
        (run,) = self.runs
        return run


class Bench:
    """An app with one task, and a message for it.

    Args:
        gate: Of replays.
        journal: Of its books.
        options: Of the task.
    """

    def __init__(self, gate: Any = None, journal: Any = None, **options: Any) -> None:
        self.app = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False)
        self.extension = install(self.app, Settings(max_defer=100.0))
        self.box, self.deferrals, self.pool = Box(), Box(), Pool()
        outboxes: Any = self.box, self.deferrals
        self.extension.runtime = WorkerRuntime(*outboxes, gate or ReplayGate(None), Books(None, journal), 3)
        self.settled: list[str] = []

        @self.app.task(shared=False, name="guarded", **{"breaker": "api", **options})
        def guarded(*args: Any) -> None: ...

        self.task = guarded._get_current_object()
        self.circuit: LiveBreaker = self.extension.breakers.get("api", POLICY)

    def open(self) -> None:
        self.circuit.acquire().failure(ValueError())

    def request(self, *args: Any, queue: str = "celery", **headers: Any) -> Any:
        message = SimpleNamespace(
            body=b"[]",
            content_type="application/json",
            content_encoding="utf-8",
            headers={"id": "one", "task": "guarded", **headers},
            properties={},
            delivery_info={"exchange": "", "routing_key": queue},
            payload=(list(args), {}, {}),
        )
        cls = create_request_cls(GatedRequest, self.task, self.pool, "here", None, app=self.app)
        return cls(
            message,
            app=self.app,
            task=self.task,
            on_ack=lambda *_: self.settled.append("acknowledged"),
            on_reject=lambda _logger, _errors, requeue: self.settled.append("requeued" if requeue else "rejected"),
        )

    def start(self, *args: Any, **headers: Any) -> Any:
        request = self.request(*args, **headers)
        request.execute_using_pool(self.pool)
        return request

    @property
    def counts(self) -> tuple[int, int]:
        status = self.circuit.status()
        return status["calls"], status["failures"]

    @property
    def is_free(self) -> bool:
        """Whether the circuit lets calls pass."""
        return not isinstance(self.circuit.try_acquire(), Refusal)


def info(error: BaseException) -> ExceptionInfo:
    try:
        raise error
    except type(error):
        return ExceptionInfo()

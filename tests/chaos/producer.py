"""The sender: a thread of its own, which keeps the system busy without flooding it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from celery import Celery

from tests.chaos.plan import Job

#: Messages that were sent and have not begun, at most.
_AHEAD: Final = 300


class Producer(threading.Thread):
    """Sends every job once; a send that raised is not tried again, as its message may exist.

    Attributes:
        sent: Jobs whose send returned.
        unsure: Jobs whose send raised.
        began: Runs begun, as the harness sees them.
    """

    def __init__(self, client: Celery, jobs: Sequence[Job]) -> None:
        super().__init__(name="producer", daemon=True)
        self._client, self._jobs = client, jobs
        self._stop_asked = threading.Event()
        self.sent: set[int] = set()
        self.unsure: dict[int, str] = {}
        self.began = 0

    def run(self) -> None:
        for job in self._jobs:
            while len(self.sent) - self.began > _AHEAD and not self._stop_asked.wait(0.02):
                pass
            if self._stop_asked.is_set():
                return
            self._send(job)

    def _send(self, job: Job) -> None:
        try:
            self._client.send_task("work", job.arguments, task_id=job.task_id, countdown=job.countdown or None)
        except Exception as exc:
            self.unsure[job.number] = f"{type(exc).__name__}: {exc}"
            self._stop_asked.wait(0.5)
        else:
            self.sent.add(job.number)

    def stop(self) -> None:
        """Send nothing more."""
        self._stop_asked.set()
        self.join(30)

"""What a parked task stores its results with: a failure is told to nobody [celery]."""

from __future__ import annotations

from typing import Any

from celery import states


class ParkingBackend:
    """A result backend that stores a failure without telling chord, chain and error callbacks."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def mark_as_failure(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Any = None, store_result: bool = True,
        call_errbacks: bool = True, state: str = states.FAILURE,
    ) -> None:  # fmt: skip
        """Store the result, and nothing else."""
        if store_result:
            self._backend.store_result(task_id, exc, state, traceback=traceback, request=request)

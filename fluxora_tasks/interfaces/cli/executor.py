"""The thread beside a recorder that carries out bulk operations [celery, sqlalchemy]."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Engine

from fluxora_tasks.bulk.executor import Executor
from fluxora_tasks.bulk.work import Work
from fluxora_tasks.install import Extension
from fluxora_tasks.ledger.database import open_engine
from fluxora_tasks.ledger.repository import Ledger

logger = logging.getLogger(__name__)

#: Seconds a step may take to end; one that is cut off is taken up by whoever has the lease next.
_STOP_LIMIT: Final = 15.0


@contextmanager
def executing(found: Extension, stop: threading.Event) -> Iterator[None]:
    """
    While the block runs, take turns with other recorders at carrying out bulk operations; whatever goes wrong with
    them never reaches the block.

    Args:
        stop: Ends it; set at the end of the block.
    """
    thread = threading.Thread(target=_execute, args=(found, stop), name="bulk-executor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_LIMIT)


def build_executor(found: Extension, engine: Engine) -> Executor:
    """An executor on connections of its own."""
    ledger = Ledger(engine, replay_cap=found.settings.replay_cap)
    return Executor(ledger, Work(engine, executor_name()), found.connect, found.surroundings())


def executor_name() -> str:
    """Names this process to people, and no other process ever: containers share names and numbers."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def _execute(found: Extension, stop: threading.Event) -> None:
    try:
        engine = open_engine(found.settings.effective_ledger_url)
        try:
            build_executor(found, engine).run(stop)
        finally:
            engine.dispose()
    except Exception:
        logger.exception("recorder.executor_failed")

"""`recorder`: the process that moves dead letters from their queue into the ledger [celery, sqlalchemy].

It also carries out bulk operations, in a thread beside.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import click
from kombu import Connection

from fluxora_tasks.deadletter.topology import dead_letter_queue, is_amqp, recorder_transport_options
from fluxora_tasks.install import Extension
from fluxora_tasks.interfaces.cli.application import application, extension
from fluxora_tasks.interfaces.cli.executor import executing
from fluxora_tasks.ledger.database import open_engine, upgrade
from fluxora_tasks.ledger.reading import NoteReader
from fluxora_tasks.ledger.recorder import Care, Recorder
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.ledger.retention import Retention
from fluxora_tasks.settings import Settings, mask_url

logger = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def record(ctx: click.Context, *, loglevel: str, as_json: bool) -> None:
    """Open the ledger, bring its schema up to date, and record until told to stop."""
    del as_json  # it logs; it has no document
    logging.basicConfig(level=loglevel.upper(), format=_FORMAT)
    with stopped_by_signals() as stop:
        found = extension(ctx)
        ledger = open_ledger(found.settings)
        recorder = build_recorder(application(ctx), found, ledger)
        logger.info(
            "recorder.started queue=%s ledger=%s",
            found.settings.dead_letter_queue,
            mask_url(found.settings.effective_ledger_url),
        )
        with executing(found, stop):
            recorder.run(stop)
    logger.info("recorder.stopped")


def open_ledger(settings: Settings) -> Ledger:
    """The ledger, its schema up to date."""
    engine = open_engine(settings.effective_ledger_url)
    upgrade(engine)
    return Ledger(engine, replay_cap=settings.replay_cap)


def build_recorder(app: Any, found: Extension, ledger: Ledger) -> Recorder:
    """A recorder on its own connection, whose unacknowledged messages are kept apart from the workers'."""
    connection = recorder_connection(app)
    settings = found.settings
    queue = dead_letter_queue(settings.dead_letter_exchange, settings.dead_letter_queue, amqp=is_amqp(connection))
    return Recorder(
        connection,
        queue,
        ledger,
        batch=settings.recorder_batch,
        on_recorded=closing_journal(found),
        care=Care(settings.unconfirmed_after, retention_of(settings)),
        reader=NoteReader(found.grouping, found.redaction),
    )


def retention_of(settings: Settings) -> Retention:
    """How long what is kept, from days."""

    def span(days: float | None) -> timedelta | None:
        return None if days is None else timedelta(days=days)

    return Retention(
        resolved=span(settings.keep_resolved),
        resolved_bodies=span(settings.keep_resolved_bodies),
        discarded=span(settings.keep_discarded),
        unresolved=span(settings.keep_unresolved),
        audit=span(settings.keep_audit),
        events=span(settings.keep_events),
    )


def recorder_connection(app: Any) -> Connection:
    """The app's connection for reading, with the recorder's own transport options."""
    connection = app.connection_for_read()
    options = recorder_transport_options(connection.transport_options, amqp=is_amqp(connection))
    own: Connection = connection.clone(transport_options=options)
    return own


def closing_journal(found: Extension) -> Callable[[Sequence[str]], None] | None:
    """What closes the journal's entries of recorded messages; a fault in it is logged and goes no further."""
    journal = found.journal
    if journal is None:
        return None

    def close(message_ids: Sequence[str]) -> None:
        try:
            journal.closed(message_ids, "dead_lettered")
        except Exception:  # the record is kept; counting it is second
            logger.warning("recorder.journal_failed messages=%d", len(message_ids), exc_info=True)

    return close


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second signal acts as it always does."""
    stop = threading.Event()
    previous: dict[int, Any] = {}

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, previous[number])

    for number in (signal.SIGTERM, signal.SIGINT):
        previous[int(number)] = signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for known, handler in previous.items():
            signal.signal(known, handler)

"""The operations of one application: where settings become a ledger and a connection to the broker."""

from __future__ import annotations

from collections.abc import Callable

from kombu import Connection
from sqlalchemy import Engine

from fluxora_tasks.bulk.store import Operations
from fluxora_tasks.deadletter.redactionfile import read_redaction
from fluxora_tasks.ledger.database import open_engine, require_schema
from fluxora_tasks.ledger.repository import Ledger
from fluxora_tasks.operations.bulk import BulkOperations, Surroundings
from fluxora_tasks.operations.dead_letters import DeadLetters
from fluxora_tasks.operations.groups import Groups
from fluxora_tasks.operations.trail import Trail
from fluxora_tasks.settings import Settings
from fluxora_tasks.state import StateStore
from fluxora_tasks.worker.gate import ReplayGate


def open_ledger(settings: Settings) -> Ledger:
    """
    The ledger of the settings.

    Raises:
        LedgerUnavailable: it does not answer, or its schema is not that of this release.
        MissingExtra: its driver is not installed.
    """
    return Ledger(_engine(settings), replay_cap=settings.replay_cap)


def open_groups(settings: Settings) -> Groups:
    """
    What an operator may do with groups of dead letters.

    Raises:
        LedgerUnavailable: the ledger does not answer, or its schema is not that of this release.
        MissingExtra: its driver is not installed.
    """
    return Groups(open_ledger(settings))


def open_trail(settings: Settings) -> Trail:
    """
    What an operator may ask of the audit.

    Raises:
        LedgerUnavailable: the ledger does not answer, or its schema is not that of this release.
        MissingExtra: its driver is not installed.
    """
    return Trail(open_ledger(settings))


def open_bulk(settings: Settings, surroundings: Callable[[], Surroundings]) -> BulkOperations:
    """
    What an operator may do with many dead letters at once.

    Args:
        surroundings: Makes what a plan's warnings are asked of.

    Raises:
        LedgerUnavailable: the ledger does not answer, or its schema is not that of this release.
        MissingExtra: its driver is not installed.
    """
    engine = _engine(settings)
    return BulkOperations(Operations(engine), Ledger(engine, replay_cap=settings.replay_cap), surroundings)


def open_dead_letters(
    settings: Settings, connect: Callable[[], Connection], store: StateStore | None = None
) -> DeadLetters:
    """
    What an operator may do with dead letters.

    Args:
        connect: Opens a connection to the broker; asked only when something is replayed.
        store: Shared state, where workers read which replays are lost.

    Raises:
        ConfigurationError: the file with rules of redaction does not work.
        LedgerUnavailable: the ledger does not answer, or its schema is not that of this release.
        MissingExtra: its driver is not installed.
    """
    redaction = read_redaction(settings.redaction_file)
    return DeadLetters(
        open_ledger(settings),
        connect,
        replay_cap=settings.replay_cap,
        redaction=redaction,
        void=ReplayGate(store).void if store is not None else None,
    )


def _engine(settings: Settings) -> Engine:
    """An engine for a ledger that is as this release needs it."""
    engine = open_engine(settings.effective_ledger_url)
    try:
        require_schema(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine

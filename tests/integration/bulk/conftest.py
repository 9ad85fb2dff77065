"""Ledgers on both databases with an operator's and an executor's view of them."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from fluxora_tasks.ledger.repository import Ledger
from tests.integration.bulk.bench import Bench
from tests.integration.ledger.conftest import HeldClock, broker_url, clock, engine, ledger, ledger_url

__all__ = ["broker_url", "clock", "engine", "ledger", "ledger_url"]


@pytest.fixture
def bench(engine: Engine, ledger: Ledger, clock: HeldClock) -> Bench:
    """Operations on an empty ledger."""
    return Bench(engine, ledger, clock)

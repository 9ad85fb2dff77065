"""Fixtures of the real programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import StoreServer


@pytest.fixture
def environment(store: StoreServer, tmp_path: Path) -> dict[str, str]:
    """FLUXORA_* variables of a private Valkey and a ledger of the test's own."""
    return {
        "FLUXORA_BROKER_URL": store.broker_url(),
        "FLUXORA_REDIS_URL": store.state_url(),
        "FLUXORA_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
        "FLUXORA_STATE_DIR": str(tmp_path / "state"),
    }

"""Fixtures of the command line."""

from __future__ import annotations

import pytest

from tests.unit.interfaces.cli.fakes import FIRST, SECOND, Terminal, letter, terminal_over


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """`fluxora` over two dead letters whose ids begin alike."""
    return terminal_over(monkeypatch, letter(id=FIRST), letter(id=SECOND, status="FAILED", replays=3))

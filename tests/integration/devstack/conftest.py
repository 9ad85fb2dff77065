"""Fixtures of the tests of the stack."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short directory: pytest's own paths are near the limit of a socket's."""
    directory = Path(tempfile.mkdtemp(prefix="fluxora-test-"))
    yield directory / "state"
    shutil.rmtree(directory)

"""The benchmark of the ledger runs; what it measures on so few records says nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

_ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_benchmark_of_the_ledger() -> None:
    """It fills a ledger and prints every table, each figure beside its budget."""
    command = [sys.executable, "-m", "benchmarks.ledger", "--sqlite", "--records", "2000", "--notes", "1000"]

    run = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=300, check=False)

    assert run.returncode == 0, run.stderr
    for title in ("lists", "other pages", "plans, which are no pages", "replay", "ingest of 1,000 notes"):
        assert f"2,000 records on sqlite: {title}" in run.stdout
    assert "≥ 5,000" in run.stdout
    assert "≥ 0.8" in run.stdout

"""Supervisors to be killed: programs that start parts, say their process ids on one line, and wait for their end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def supervisor(kind: str, state_dir: Path) -> subprocess.Popen[bytes]:
    """One of the programs here (``store``, ``stack``), in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.supervisors.{kind}", str(state_dir)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def report(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What it says once its parts run."""
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))

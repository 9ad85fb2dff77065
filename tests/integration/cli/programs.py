"""Both programs as real processes: `fluxora …` and `celery -A … …`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
APP = "tests.integration.cli.app"

#: Program -> what stands before its commands.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "fluxora": ("fluxora_tasks.interfaces.cli.main", "--app"),
    "celery": ("celery", "-A"),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """The one document on standard output, with nothing beside it."""
        assert self.err == ""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


def command(program: str, *words: str, app: str = APP) -> list[str]:
    """The arguments of a process."""
    module, option = PROGRAMS[program]
    return [sys.executable, "-m", module, option, app, *words]


def run(program: str, *words: str, environment: Mapping[str, str], app: str = APP, directory: Path = ROOT) -> Ended:
    """Run a command to its end, its output in pipes."""
    return ended(command(program, *words, app=app), environment, directory)


def ended(arguments: Sequence[str], environment: Mapping[str, str], directory: Path = ROOT) -> Ended:
    """Run a process to its end."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.run(
        arguments,
        env={**os.environ, "PYTHONPATH": path, **environment},
        cwd=directory,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(process.returncode, process.stdout, process.stderr)

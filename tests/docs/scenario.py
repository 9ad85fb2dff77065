"""Runs the marked blocks of one scenario as a reader would, in an empty directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.docs.blocks import Block, output_matches
from tests.waiting import wait_until

#: Seconds for one block; the demo takes 20 and may build its state first.
_LIMIT = 180.0
_UNTIL_LIMIT = 60.0
_STOP_LIMIT = 40.0


@dataclass(frozen=True, slots=True)
class _Background:
    process: subprocess.Popen[bytes]
    log: Path


class Scenario:
    """One scenario in one directory; `run` leaves no process behind, whatever happens."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._background: list[_Background] = []
        self._printed = ""

    def run(self, blocks: Sequence[Block]) -> None:
        """Run the blocks in order; an assertion names the line of the one that failed."""
        try:
            for block in blocks:
                self._one(block)
        finally:
            self._stop()

    def _one(self, block: Block) -> None:
        if "file" in block.options:
            self._write(block)
        elif "output" in block.options:
            assert output_matches(block.text, self._printed), (
                f"line {block.line}: printed was\n{self._printed}\nnot\n{block.text}"
            )
        elif "background" in block.options:
            self._start(block)
        else:
            self._printed = self._repeat(block) if "until" in block.options else self._script(block)

    def _write(self, block: Block) -> None:
        path = self._directory / block.options["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def _script(self, block: Block) -> str:
        ended = subprocess.run(
            self._command(block),
            cwd=self._directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        wanted = int(block.options.get("exit", "0"))
        assert ended.returncode == wanted, (
            f"line {block.line}: ended with {ended.returncode}, not {wanted}:\n{block.text}\n{ended.stdout}"
        )
        return ended.stdout

    def _repeat(self, block: Block) -> str:
        deadline = time.monotonic() + _UNTIL_LIMIT
        while block.options["until"] not in (printed := self._script(block)):
            assert time.monotonic() < deadline, f"line {block.line}: no {block.options['until']!r} in {printed}"
        return printed

    def _start(self, block: Block) -> None:
        log = self._directory / f".background-{block.line}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self._command(block),
                cwd=self._directory,
                env=_environment() | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._background.append(_Background(process, log))

        def ready() -> bool:
            text = log.read_text(errors="replace")
            assert process.poll() is None, f"line {block.line}: ended with {process.returncode}:\n{text}"
            return block.options["background"] in text

        wait_until(ready, _UNTIL_LIMIT, f"line {block.line}: {block.options['background']!r}")

    def _stop(self) -> None:
        for one in reversed(self._background):
            _signal_group(one.process, signal.SIGTERM)
            try:
                wait_until(partial(_is_gone, one.process), _STOP_LIMIT, "the background ended")
            finally:
                _signal_group(one.process, signal.SIGKILL)
                one.process.wait()

    @staticmethod
    def _command(block: Block) -> list[str]:
        assert block.language in ("bash", "sh"), f"line {block.line}: {block.language} blocks need file= or output"
        return ["bash", "-euo", "pipefail", "-c", block.text]


def _environment() -> dict[str, str]:
    """Ours without settings of the project, its programs first on PATH."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLUXORA_", "CELERY_")) and name != "PYTHONPATH"
    }
    programs = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath)))
    return kept | {"PATH": programs}


def _is_gone(process: subprocess.Popen[bytes]) -> bool:
    """Whether nothing of its session is left; the shell may end before what it started."""
    if process.poll() is None:
        return False
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)

"""PolicyFile: policies of circuits in a JSON or TOML file, read again when it changes."""

from __future__ import annotations

import json
import logging
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fluxora_tasks.breaker.policies import Policies, policies_of
from fluxora_tasks.errors import ConfigurationError

logger = logging.getLogger(__name__)

#: Seconds between two looks at the file.
EVERY: Final = 2.0


class PolicyFile:
    """
    A file, such as one that a ConfigMap mounts.

    Args:
        path: ``*.toml`` is read as TOML, everything else as JSON.

    Attributes:
        policies: What it says; a later version that does not work is logged, and leaves these in force.

    Raises:
        ConfigurationError: it cannot be read, or does not work.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path, self._monotonic = path, monotonic
        self._mark = _mark_of(path)
        self.policies = read_policies(path)
        self._next = monotonic() + EVERY

    def refresh(self) -> bool:
        """Whether it says something else than the last time; looks every ``EVERY`` seconds at most."""
        now = self._monotonic()
        if now < self._next:
            return False
        self._next = now + EVERY
        mark = _mark_of(self._path)
        if mark is None or mark == self._mark:
            return False
        self._mark = mark
        return self._read_again()

    def _read_again(self) -> bool:
        try:
            self.policies = read_policies(self._path)
        except ConfigurationError as error:
            logger.error("the policies of circuits stay as they were: %s", error)
            return False
        logger.info("policies of circuits read again from %s", self._path)
        return True


def read_policies(path: Path) -> Policies:
    """
    What a file says.

    Raises:
        ConfigurationError: it cannot be read, or does not work.
    """
    try:
        return policies_of(_parsed(path))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _parsed(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


def _mark_of(path: Path) -> tuple[int, int, int] | None:
    """What differs after a change, also where a mounted directory swaps a link."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size

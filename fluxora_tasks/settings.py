"""Settings of an application: ``FLUXORA_*`` variables over defaults, checked once, then frozen.

Explicit argument over environment over default. URLs are masked wherever they are shown.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fluxora_tasks.errors import ConfigurationError

#: A Unix socket path may have 107 bytes; the embedded server refuses longer ones.
_SOCKET_PATH_LIMIT = 100


def _checked_url(schemes: tuple[str, ...], example: str) -> AfterValidator:
    def check(url: str | None) -> str | None:
        if url is None:
            return None
        scheme = urlsplit(url).scheme if "://" in url else ""
        if scheme.split("+")[0] not in schemes:
            raise ValueError(f"starts with none of {', '.join(f'{s}://' for s in schemes)} (example: {example})")
        return url

    return AfterValidator(check)


BrokerUrl = Annotated[
    str | None,
    _checked_url(
        ("amqp", "amqps", "pyamqp", "redis", "rediss", "sentinel", "memory", "filesystem"),
        "redis://localhost:6379/0",
    ),
]
StateUrl = Annotated[str | None, _checked_url(("redis", "rediss", "unix"), "redis://localhost:6379/2")]
LedgerUrl = Annotated[
    str | None,
    _checked_url(("sqlite", "postgresql"), "postgresql+psycopg://user:password@localhost/fluxora"),
]


class Settings(BaseSettings):
    """What an application decides about Fluxora Tasks; every field is also a ``FLUXORA_`` variable."""

    model_config = SettingsConfigDict(
        env_prefix="FLUXORA_", frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    broker_url: BrokerUrl = Field(
        None, description="Broker, where the app sets none. None: the embedded Valkey in state_dir."
    )
    redis_url: StateUrl = Field(
        None,
        description="Redis or Valkey for shared state (replay gate, journal). "
        "None: the broker or result backend if that is Redis, else no shared state.",
    )
    ledger_url: LedgerUrl = Field(
        None, description="SQL database of the ledger. None: SQLite file ledger.db in state_dir."
    )
    result_backend: str | None = Field(
        None,
        description="Celery result backend, where the app sets none. None: only with the embedded Valkey.",
    )
    state_dir: Path = Field(Path(".fluxora"), description="Directory of everything embedded.")
    dead_letter_exchange: str = Field(
        "fluxora.dead", min_length=1, max_length=200, description="Exchange every dead letter goes through."
    )
    dead_letter_queue: str = Field(
        "fluxora.dead", min_length=1, max_length=200, description="Queue the recorder consumes."
    )
    max_attempts: int = Field(4, ge=1, le=1000, description="Runs of a task before it is given up; 1: no retry.")
    base_delay: float = Field(2.0, ge=0, le=86_400, description="Seconds; ceiling of the first delay.")
    max_delay: float = Field(600.0, ge=0, le=604_800, description="Seconds; no delay is longer.")
    backoff_factor: float = Field(2.0, ge=1, le=100, description="Growth of the ceiling per attempt.")
    journal: bool = Field(True, description="Note each message sent and succeeded in redis_url, for `fluxora audit`.")
    replay_cap: int = Field(
        3, ge=1, le=1000, description="Replays that may fail before a record is quarantined as FAILED."
    )
    recorder_batch: int = Field(500, ge=1, le=500, description="Dead letters per ledger transaction, at most.")

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    __str__ = __repr__

    def shown(self) -> dict[str, Any]:
        """The fields as they may be shown: passwords in URLs masked."""
        return {
            name: mask_url(value) if name.endswith(("_url", "_backend")) and value else value for name, value in self
        }

    @property
    def embedded_socket(self) -> Path:
        """Where the embedded Valkey listens: in ``state_dir``, or in a short directory if the path is too long."""
        state = self.state_dir.absolute()
        path = state / "store.sock"
        if len(os.fsencode(path)) < _SOCKET_PATH_LIMIT:
            return path
        digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"fluxora-{os.getuid()}-{digest}" / "store.sock"

    @property
    def effective_broker_url(self) -> str:
        """The broker in force where the app sets none."""
        return self.broker_url or f"redis+socket://{self.embedded_socket}"

    @property
    def effective_ledger_url(self) -> str:
        """The ledger in force."""
        return self.ledger_url or f"sqlite:///{self.state_dir.absolute() / 'ledger.db'}"

    @property
    def uses_embedded_store(self) -> bool:
        """Whether something of ours needs the embedded Valkey."""
        return self.broker_url is None


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with explicit values on top.

    Raises:
        ConfigurationError: one line per wrong value, with the variable to correct.
    """
    try:
        return Settings(**overrides)
    except ValidationError as exc:
        lines = [
            f"FLUXORA_{'_'.join(map(str, error['loc'])).upper()}: {error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors(include_url=False, include_input=False)
        ]
        raise ConfigurationError("; ".join(lines)) from None


def mask_url(url: str) -> str:
    """The URL with its password replaced by ``***``; never raises."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not separator or "@" not in authority:
        return url
    credentials, _, host = authority.rpartition("@")
    user, colon, _password = credentials.partition(":")
    return f"{scheme}://{user}{colon and ':***'}@{host}{slash}{path}"

"""Settings of an application: ``FLUXORA_*`` variables over defaults, checked once, then frozen.

Explicit argument over environment over default. URLs are masked wherever they are shown. Written by hand, because a
validation library would be nine of the ten MiB a worker may cost (docs/decisions/0002-settings.md).
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Container
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from fluxora_tasks.errors import ConfigurationError

PREFIX: Final = "FLUXORA_"

#: A Unix socket path may have 107 bytes; the embedded server refuses longer ones.
_SOCKET_PATH_LIMIT: Final = 100

#: How alike a slip and a name are, of 1; variables of other programs stay below it.
_SLIP: Final = 0.9

_UNSET: Final = object()
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


def _option(default: Any, convert: Callable[[Any], Any], description: str) -> Any:
    """A field that is also a variable; ``convert`` checks explicit values and texts alike."""
    return field(default=_UNSET, metadata={"default": default, "convert": convert, "description": description})


def _url(example: str, *schemes: str) -> Callable[[Any], str | None]:
    def convert(value: Any) -> str | None:
        if value is None:
            return None
        scheme = urlsplit(value).scheme if isinstance(value, str) and "://" in value else ""
        if scheme.split("+")[0] not in schemes:
            raise ValueError(f"takes a URL like {example}")
        _check_address(value)
        return str(value)

    return convert


def _check_address(url: str) -> None:
    """Port and Redis database; hosts may have any name, and kombu takes several URLs joined by ``;``."""
    for one in url.split(";"):
        parts = urlsplit(one)
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("takes a URL whose port is a number; in a password write / as %2F") from None
        database = parts.path.strip("/")
        if parts.scheme in ("redis", "rediss") and database and not database.isdecimal():
            raise ValueError("takes a URL that ends with the number of a Redis database, like /0")


def _result_backend(value: Any) -> str | None:
    """What Celery takes: one of its own names, alone or before a URL, or the path of a class."""
    if value is None:
        return None
    name, separator, _ = _text(value).partition("://")
    if not re.search(r"[.:+]", name) and name not in _backend_names():
        raise ValueError("takes a URL like redis://localhost:6379/1, or rpc://")
    if separator:
        _check_address(value)
    return str(value)


def _backend_names() -> Container[str]:
    from celery.app.backends import BACKEND_ALIASES

    return dict(BACKEND_ALIASES)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise ValueError("takes a text of 1 to 200 characters")
    return value


def _path(value: Any) -> Path:
    if not isinstance(value, (str, Path)):
        raise ValueError("takes a path")
    return Path(value)


def _optional_path(value: Any) -> Path | None:
    return None if value is None else _path(value)


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _days(value: Any) -> float | None:
    """Days; ``None`` for never, which a variable spells out."""
    if value is None or value == "never":
        return None
    try:
        return _number(0.001, 36_500)(value)
    except ValueError:
        raise ValueError("takes a number of days from 0.001 to 36500, or never") from None


def _flag(value: Any) -> bool:
    text = str(value).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError("takes true or false")


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ValueError(f"takes a whole number from {low} to {high}")
        return number

    return convert


def _number(low: float, high: float) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not low <= number <= high or isinstance(value, bool):
            raise ValueError(f"takes a number from {low:g} to {high:g}")
        return number

    return convert


_broker_url = _url(
    "redis://localhost:6379/0 or amqp://guest@localhost//",
    "amqp", "amqps", "pyamqp", "redis", "rediss", "sentinel", "memory", "filesystem",
)  # fmt: skip
_state_url = _url("redis://localhost:6379/2", "redis", "rediss", "unix")
_ledger_url = _url("postgresql+psycopg://user:password@localhost/fluxora", "sqlite", "postgresql")


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """What an application decides about Fluxora Tasks; every field is also a ``FLUXORA_`` variable.

    Raises:
        ConfigurationError: one clause per wrong value, with the variable and what it takes.
    """

    broker_url: str | None = _option(
        None, _broker_url, "Broker, where the app sets none. None: the embedded Valkey in state_dir."
    )
    redis_url: str | None = _option(
        None,
        _state_url,
        "Redis or Valkey for shared state (circuits, toggles, replay gate, journal). "
        "None: the broker or result backend if that is Redis, else no shared state.",
    )
    ledger_url: str | None = _option(
        None, _ledger_url, "SQL database of the ledger. None: SQLite file ledger.db in state_dir."
    )
    result_backend: str | None = _option(
        None, _result_backend, "Celery result backend, where the app sets none. None: only with the embedded Valkey."
    )
    state_dir: Path = _option(Path(".fluxora"), _path, "Directory of everything embedded.")
    redis_transport: bool = _option(
        True,
        _flag,
        "Use the Redis transport of this library: delays kept by the server, nothing lost with a killed worker. "
        "false: kombu's.",
    )
    dead_letter_exchange: str = _option("fluxora.dead", _text, "Exchange every dead letter goes through.")
    dead_letter_queue: str = _option("fluxora.dead", _text, "Queue the recorder consumes.")
    max_attempts: int = _option(4, _whole(1, 1000), "Runs of a task before it is given up; 1: no retry.")
    base_delay: float = _option(2.0, _number(0, 86_400), "Seconds; ceiling of the first delay.")
    max_delay: float = _option(600.0, _number(0, 604_800), "Seconds; no delay is longer.")
    backoff_factor: float = _option(2.0, _number(1, 100), "Growth of the ceiling per attempt.")
    poison_after: int = _option(
        3, _whole(1, 1000), "Runs of a message that may take their process with them; then it is not run again."
    )
    journal: bool = _option(True, _flag, "Note each message sent and succeeded in redis_url, for `fluxora audit`.")
    max_defer: float = _option(
        3600.0,
        _number(0, 604_800),
        "Seconds a message may wait for an open circuit; then it is a dead letter of kind breaker_timeout.",
    )
    breakers_file: Path | None = _option(
        None,
        _optional_path,
        "JSON or TOML file with policies of circuits, read again when it changes. None: no file.",
    )
    replay_cap: int = _option(3, _whole(1, 1000), "Replays that may fail before a record is quarantined as FAILED.")
    unconfirmed_after: float = _option(
        900.0,
        _number(1, 604_800),
        "Seconds without news after which a replay is shown as unconfirmed.",
    )
    release: str | None = _option(None, _optional_text, "Release of the application, kept with each dead letter.")
    grouping_file: Path | None = _option(
        None, _optional_path, "JSON or TOML file with rules that say which failures are alike. None: the built-in ones."
    )
    redaction_file: Path | None = _option(
        None, _optional_path, "JSON or TOML file with names, paths and patterns to redact beside the built-in ones."
    )
    keep_resolved: float | None = _option(30.0, _days, "Days a RESOLVED record is kept; never: it is not purged.")
    keep_resolved_bodies: float | None = _option(7.0, _days, "Days the original message of a RESOLVED record is kept.")
    keep_discarded: float | None = _option(30.0, _days, "Days a DISCARDED record is kept.")
    keep_unresolved: float | None = _option(None, _days, "Days a PENDING or FAILED record is kept. None: never purged.")
    keep_audit: float | None = _option(400.0, _days, "Days an audit event is kept.")
    keep_events: float | None = _option(30.0, _days, "Days an event of the outbox is kept.")
    recorder_batch: int = _option(500, _whole(1, 500), "Dead letters per ledger transaction, at most.")

    def __post_init__(self) -> None:
        wrong = []
        for item in fields(self):
            try:
                object.__setattr__(self, item.name, _value_of(item, getattr(self, item.name)))
            except ValueError as exc:
                wrong.append(f"{variable_of(item.name)} {exc}")
        wrong += _slips()
        if wrong:
            raise ConfigurationError("; ".join(wrong))

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    __str__ = __repr__

    def shown(self) -> dict[str, Any]:
        """The fields as they may be shown: passwords in URLs masked."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        return {
            name: mask_url(value) if name.endswith(("_url", "_backend")) and value else value for name, value in values
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
        return self.broker_url or socket_url("broker", self.embedded_socket)

    @property
    def effective_ledger_url(self) -> str:
        """The ledger in force."""
        return self.ledger_url or f"sqlite:///{self.state_dir.absolute() / 'ledger.db'}"

    @property
    def uses_embedded_store(self) -> bool:
        """Whether something of ours needs the embedded Valkey."""
        return self.broker_url is None


def socket_url(use: Literal["broker", "results", "state"], socket: Path) -> str:
    """The embedded server's URL for one use: databases 0, 1 and 2; Flower's socket client reads 0 only."""
    path = quote(str(socket))
    match use:
        case "broker":
            return f"redis+socket://{path}"
        case "results":
            return f"redis+socket://{path}?virtual_host=1"
        case "state":
            return f"unix://{path}?db=2"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with explicit values on top.

    Raises:
        ConfigurationError: a wrong value, or a name that is none of ours, with the nearest one that is.
    """
    known = {item.name for item in fields(Settings)}
    for name in overrides.keys() - known:
        near = get_close_matches(name, known, 1)
        raise ConfigurationError(f"no setting is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return Settings(**overrides)


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def _slips() -> list[str]:
    """Variables that are nearly one of ours: what somebody set has no effect, and nobody would tell them."""
    known = [variable_of(item.name) for item in fields(Settings)]
    ours = (name for name in os.environ if name.startswith(PREFIX) and not name.startswith(f"{PREFIX}TEST_"))
    near = ((name, get_close_matches(name, known, 1, _SLIP)) for name in sorted(ours) if name not in known)
    return [f"{name} is no setting; did you mean {found[0]}?" for name, found in near if found]


def _value_of(item: Field[Any], given: Any) -> Any:
    """The explicit value, else the variable, else the default; an empty variable is none."""
    if given is _UNSET:
        given = os.environ.get(variable_of(item.name)) or item.metadata["default"]
    return item.metadata["convert"](given)


def mask_url(url: str) -> str:
    """The URL with its password replaced by ``***``; never raises."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not separator or "@" not in authority:
        return url
    credentials, _, host = authority.rpartition("@")
    user, colon, _password = credentials.partition(":")
    return f"{scheme}://{user}{colon and ':***'}@{host}{slash}{path}"

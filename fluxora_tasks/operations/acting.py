"""What operations on circuits and switches have in common: one outcome per name, and times of the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from fluxora_tasks.errors import ConfigurationError, ConflictError, StoreUnavailable
from fluxora_tasks.operations.records import ActionResult


def each(names: Sequence[str], act: Callable[[str], ActionResult]) -> list[ActionResult]:
    """What became of each name, once; what cannot be done is an outcome, too."""
    return [_outcome(name, act) for name in dict.fromkeys(names)]


def time_of(store_ms: int) -> datetime | None:
    """A time of the store; ``None`` for none."""
    return datetime.fromtimestamp(store_ms / 1000, UTC) if store_ms else None


def until_text(store_ms: int) -> str:
    """When something ends, for people; empty: it does not."""
    moment = time_of(store_ms)
    return f"until {moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""


def _outcome(name: str, act: Callable[[str], ActionResult]) -> ActionResult:
    try:
        return act(name)
    except ConflictError as error:
        return ActionResult(name, "conflict", None, str(error))
    except ConfigurationError as error:
        return ActionResult(name, "refused", None, str(error))
    except StoreUnavailable as error:
        return ActionResult(name, "failed", None, str(error))

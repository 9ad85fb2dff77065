"""What operations have in common: bounds, who acts, one outcome per id or name, and times of the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from fluxora_tasks.errors import (
    ConfigurationError,
    ConflictError,
    RefusedError,
    StoreUnavailable,
    UnknownDeadLetter,
    UnknownGroup,
)
from fluxora_tasks.operations.records import ActionResult, Actor

#: Rows of a page; shortest beginning of an id that is searched for.
MOST_ROWS: Final = 1000
SHORTEST_PREFIX: Final = 4

T = TypeVar("T")


def check_limit(limit: int) -> None:
    """
    Raises:
        ConfigurationError: no page has so many rows.
    """
    if not 1 <= limit <= MOST_ROWS:
        raise ConfigurationError(f"limit is {limit}; it must be from 1 to {MOST_ROWS}")


def check_actor(actor: Actor) -> None:
    """
    Raises:
        ConfigurationError: no name or no reason is given.
    """
    if not actor.name.strip() or not actor.reason.strip():
        raise ConfigurationError("an action needs a name and a reason: both stand in the audit")


def only_one(given: str, search: Callable[[str], Sequence[T]], what: str, unknown: type[RefusedError]) -> T:
    """
    What an id, or the beginning of one, stands for.

    Args:
        search: At most two whose ids begin so; a whole id finds itself alone.
        what: Their name, of several.
        unknown: What to raise, with the id, where there is none.

    Raises:
        RefusedError: there are several, or the beginning is too short.
    """
    if len(given) < SHORTEST_PREFIX:
        raise RefusedError(f"{given!r} is too short; give at least {SHORTEST_PREFIX} characters of the id")
    found = search(given)
    if not found:
        raise unknown(given)
    if len(found) > 1:
        raise RefusedError(f"several {what} have an id that begins with {given!r}; give more of it")
    return found[0]


def by_id(
    ids: Sequence[str], whole: Callable[[str], str], act: Callable[[Sequence[str]], Sequence[ActionResult]]
) -> list[ActionResult]:
    """
    What became of each id, once, in the order given; those that lead to nothing are answered in their place.

    Args:
        whole: The whole id that one stands for; raises RefusedError.
        act: Takes whole ids, each once.
    """
    found = {given: _whole_or_answer(given, whole) for given in dict.fromkeys(ids)}
    known = list(dict.fromkeys(item for item in found.values() if isinstance(item, str)))
    answers = {result.id: result for result in act(known)}
    ordered = [answers[item] if isinstance(item, str) else item for item in found.values()]
    return list({result.id: result for result in ordered}.values())


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


def _whole_or_answer(given: str, whole: Callable[[str], str]) -> str | ActionResult:
    try:
        return whole(given)
    except (UnknownDeadLetter, UnknownGroup) as exc:
        return ActionResult(given, "unknown", None, str(exc))
    except RefusedError as exc:
        return ActionResult(given, "refused", None, str(exc))


def _outcome(name: str, act: Callable[[str], ActionResult]) -> ActionResult:
    try:
        return act(name)
    except ConflictError as error:
        return ActionResult(name, "conflict", None, str(error))
    except ConfigurationError as error:
        return ActionResult(name, "refused", None, str(error))
    except StoreUnavailable as error:
        return ActionResult(name, "failed", None, str(error))

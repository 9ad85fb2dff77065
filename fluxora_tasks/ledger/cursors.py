"""Where a page of a list ended, and what comes after it: rows by a time, then an id, newest first [sqlalchemy]."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, tuple_

from fluxora_tasks.errors import ConfigurationError
from fluxora_tasks.ledger.rows import NAME_LENGTH, storable

#: Of a row in a list: its time and its id.
Place: TypeAlias = tuple[datetime, str]


def write_cursor(moment: datetime, id: str) -> str:
    """Where the page after this row starts; opaque to callers."""
    place = json.dumps([moment.isoformat(timespec="microseconds"), id])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Place:
    """
    Raises:
        ConfigurationError: none of ours.
    """
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        moment, id = json.loads(place)
        parsed = datetime.fromisoformat(moment)
        if parsed.tzinfo is None or storable(id, NAME_LENGTH) != id:
            raise ValueError(cursor)
        return parsed.astimezone(UTC), id
    except (ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise ConfigurationError(f"not a cursor of this list: {cursor[:80]!r}; start without one") from exc


def comes_after(moment: Any, id: Any, place: Place) -> ColumnElement[bool]:
    """Whether a row, of which these are the columns, is further down the list."""
    return tuple_(moment, id) < tuple_(*place)

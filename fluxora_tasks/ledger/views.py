"""What may be shown of a record and searched in it, as columns (pure)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fluxora_tasks.deadletter.envelope import View, view_document
from fluxora_tasks.ledger.rows import UnstorableNote, as_json, storable
from fluxora_tasks.ledger.words import spaced

#: Bytes of a view, and of the text that is searched, at most.
VIEW_LENGTH: Final = 64 * 1024
SEARCHED_LENGTH: Final = 4 * 1024

#: Values that are looked at for the searched text, at most; levels of nesting, too.
_MOST_VALUES: Final = 500
_DEEPEST: Final = 20

#: What Python's JSON can spell and PostgreSQL's cannot hold: NUL, halves of pairs, floats that are no numbers.
_UNSTORABLE: Final = re.compile(r"\\u(?:0000|d[89a-f])|NaN|Infinity")

_TOO_LONG: Final = "too long to show"


def view_columns(dead_id: str, view: View | None, shown: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """The row beside a record's.

    Args:
        view: Of the message that is kept; ``None`` where a worker of an older release gave none.
        shown: Of the newest failure: ``message``, ``exception_type``.
        kept: Of the message: ``task``, ``task_id``.
    """
    return {"dead_letter_id": dead_id, "view": stored_view(view), "search_text": search_text(view, shown, kept)}


def stored_view(view: View | None) -> str | None:
    """A view as JSON that any database can search; one that is too long keeps its headers at most."""
    if view is None:
        return None
    text = _document(view)
    if len(text) > VIEW_LENGTH:
        text = _document(View(None, None, view.headers, _TOO_LONG))
    return text if len(text) <= VIEW_LENGTH else _document(View(note=_TOO_LONG))


def read_view(stored: str | None) -> View | None:
    """A view as stored."""
    return View(**json.loads(stored)) if stored else None


def search_text(view: View | None, shown: Mapping[str, Any], kept: Mapping[str, Any]) -> str:
    """The words by which a record is found."""
    words = [shown["message"], shown["exception_type"], kept["task"], kept["task_id"]]
    if view is not None:
        words += _values([view.args, view.kwargs, view.headers])
    return storable(spaced(" ".join(words)), SEARCHED_LENGTH)


def _values(value: Any) -> Iterator[str]:
    """Texts and numbers of a nested value, breadth first, so that none of a long list keeps others out."""
    level, count = [value], 0
    for _ in range(_DEEPEST):
        nested: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                nested += item.values()
            elif isinstance(item, list):
                nested += item
            elif isinstance(item, (str, int, float)) and not isinstance(item, bool):
                yield str(item)
                count += 1
            if count >= _MOST_VALUES:
                return
        if not nested:
            return
        level = nested


def _document(view: View) -> str:
    value = view_document(view)
    text = as_json(value)
    return as_json(_storable(value)) if _UNSTORABLE.search(text) else text


def _storable(value: Any, levels: int = 100) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if levels == 0:
        raise UnstorableNote("what may be shown is nested too deeply")
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(item, levels - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, levels - 1) for item in value]
    return value

"""The page on events says what the code says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fluxora_tasks import events

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "events.md"


def told() -> list[tuple[str, str]]:
    """Every event and its fields, in the order of the module."""
    classes = [item for item in vars(events).values() if dataclasses.is_dataclass(item) and isinstance(item, type)]
    return [
        (f"`{cls.__name__}`", ", ".join(f"`{field.name}`" for field in dataclasses.fields(cls)))
        for cls in classes
        if cls.__module__ == events.__name__
    ]


def test_every_event_stands_on_the_page() -> None:
    """With its fields, in the order of the code."""
    table = PAGE.read_text(encoding="utf-8").partition("<!-- events")[2].partition("<!-- /events -->")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert [(row[1].strip(), row[3].strip()) for row in rows] == told()

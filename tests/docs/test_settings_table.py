"""The configuration table of the README says what the code says."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from fluxora_tasks.settings import Settings, variable_of

README = Path(__file__).resolve().parents[2] / "README.md"


def table() -> list[str]:
    """One row per setting, in the order of the class."""
    rows = []
    for item in fields(Settings):
        default = item.metadata["default"]
        shown = "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        rows.append(f"| `{variable_of(item.name)}` | {shown} | {item.metadata['description']} |")
    return rows


def test_every_setting_stands_in_the_readme() -> None:
    """Row by row; on a difference, the table to paste is in the message."""
    text = README.read_text(encoding="utf-8").partition("<!-- settings")[2].partition("<!-- /settings -->")[0]
    stated = [line for line in text.splitlines() if line.startswith("| `")]
    assert stated == table(), "\n" + "\n".join(table())

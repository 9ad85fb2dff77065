"""What the README tells a reader to do works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import scenarios_of, unmarked
from tests.docs.scenario import Scenario

_README = Path(__file__).resolve().parents[2] / "README.md"
_PAGE = _README.read_text(encoding="utf-8") if _README.exists() else ""


def test_every_block_is_marked() -> None:
    """A block that a reader would run is run here, or says why not."""
    assert [f"line {block.line}: {block.text.splitlines()[:1]}" for block in unmarked(_PAGE)] == []


@pytest.mark.acceptance
@pytest.mark.parametrize("name", sorted(scenarios_of(_PAGE)))
def test_scenario(name: str, tmp_path: Path) -> None:
    """The blocks of this name, in order, in an empty directory."""
    Scenario(tmp_path).run(scenarios_of(_PAGE)[name])

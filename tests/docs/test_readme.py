"""What the README and the pages for users tell a reader to do works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import scenarios_of, unmarked
from tests.docs.scenario import Scenario

_ROOT = Path(__file__).resolve().parents[2]
_TEXTS = {
    str(path.relative_to(_ROOT)): path.read_text(encoding="utf-8")
    for path in (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("[hr]*/*.md")))
}
_SCENARIOS = [(page, name) for page, text in _TEXTS.items() for name in sorted(scenarios_of(text))]


@pytest.mark.parametrize("page", _TEXTS)
def test_every_block_is_marked(page: str) -> None:
    """A block that a reader would run is run here, or says why not."""
    assert [f"line {block.line}: {block.text.splitlines()[:1]}" for block in unmarked(_TEXTS[page])] == []


@pytest.mark.acceptance
@pytest.mark.parametrize(("page", "name"), _SCENARIOS)
def test_scenario(page: str, name: str, tmp_path: Path) -> None:
    """The blocks of this name, in order, in an empty directory."""
    Scenario(tmp_path).run(scenarios_of(_TEXTS[page])[name])

"""Our templates over Flower's, and the entry in its navigation."""

from __future__ import annotations

import logging
from pathlib import Path

import flower
import pytest

from fluxora_tasks.interfaces.flower import overlay
from fluxora_tasks.interfaces.flower.overlay import OverlayLoader, with_entry

_THEIRS = Path(flower.__file__).parent / "templates"
_OURS = Path(overlay.__file__).parent / "templates"


def test_the_entry_comes_last_in_the_first_list() -> None:
    """Beside Flower's own pages, before the icons."""
    edited = with_entry((_THEIRS / "navbar.html").read_text("utf-8"))
    first_list = edited.partition("</ul>")[0]
    assert first_list.index("Broker") < first_list.index("Dead letters")
    assert edited.count("Dead letters") == 1


@pytest.mark.parametrize(
    "navigation",
    [
        "<nav>nothing like it</nav>",
        "<ul><li>no items of that class</li></ul>",
        '<ul><li class="nav-item">but no link to the broker</li></ul>',
    ],
)
def test_an_unknown_navigation_is_refused(navigation: str) -> None:
    """No guess is made where to put the entry."""
    with pytest.raises(LookupError):
        with_entry(navigation)


def test_an_unknown_navigation_costs_only_the_entry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Flower's pages keep their navigation, and one line says where ours are."""
    (tmp_path / "navbar.html").write_text("<nav>another Flower</nav>")
    with caplog.at_level(logging.WARNING):
        text = OverlayLoader(str(tmp_path), _OURS).load("navbar.html").generate()
    assert text == b"<nav>another Flower</nav>"
    assert [record.message for record in caplog.records] == [
        "Flower's navigation has no entry for dead letters (no list of links found); see /fluxora/dead"
    ]


def test_a_frame_without_a_place_for_pages_is_refused(tmp_path: Path) -> None:
    """Pages that would come out empty are not offered."""
    (tmp_path / "base.html").write_text("<html>{% block body %}{% end %}</html>")
    with pytest.raises(LookupError, match="container"):
        OverlayLoader(str(tmp_path), _OURS).check()


def test_every_template_of_ours_compiles() -> None:
    """Against the Flower that is installed."""
    OverlayLoader(str(_THEIRS), _OURS).check()

"""Flower's templates with ours beside them and one more entry in the navigation."""

from __future__ import annotations

import logging
from pathlib import Path

from tornado.template import Loader, ParseError, Template

logger = logging.getLogger(__name__)

_NAVIGATION = "navbar.html"
_FRAME = "base.html"
_ENTRY = """\
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'fluxora-dead' %} active{% end %}"
            href="{{ reverse_url('fluxora-dead') }}"
            {% if active_tab == 'fluxora-dead' %}aria-current="page"{% end %}>Dead letters</a>
        </li>
"""


class OverlayLoader(Loader):
    """Loads a template from our folder, else from Flower's.

    Args:
        theirs: Flower's template folder.
        ours: Folder of ours; a name in it wins.
    """

    def __init__(self, theirs: str, ours: Path) -> None:
        super().__init__(theirs)
        self._ours = ours

    def check(self) -> None:
        """Compile our templates now.

        Raises:
            LookupError: Flower's frame has no place for a page.
            Exception: one of them, or Flower's frame, cannot be compiled.
        """
        if "{% block container %}" not in (Path(self.root) / _FRAME).read_text("utf-8"):
            raise LookupError(f"no container block in {_FRAME}")
        for path in sorted(self._ours.glob("*.html")):
            self.load(path.name)

    def _create_template(self, name: str) -> Template:
        own = self._ours / name
        if own.is_file():
            return Template(own.read_bytes(), name=name, loader=self)
        if name == _NAVIGATION:
            return self._navigation()
        return super()._create_template(name)

    def _navigation(self) -> Template:
        """Flower's navigation with our entry; as it is, where it looks unlike what we know."""
        text = (Path(self.root) / _NAVIGATION).read_text("utf-8")
        try:
            return Template(with_entry(text), name=_NAVIGATION, loader=self)
        except (LookupError, ParseError) as exc:
            logger.warning("Flower's navigation has no entry for dead letters (%s); see /fluxora/dead", exc)
            return super()._create_template(_NAVIGATION)


def with_entry(navigation: str) -> str:
    """Flower's navigation template with our entry at the end of its first list.

    Raises:
        LookupError: it has no list of links by that look.
    """
    head, end, tail = navigation.partition("</ul>")
    if not end or "nav-item" not in head or "reverse_url('broker')" not in head:
        raise LookupError("no list of links found")
    return f"{head.rstrip()}\n{_ENTRY}      {end}{tail}"

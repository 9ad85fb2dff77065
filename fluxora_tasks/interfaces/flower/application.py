"""Adds our pages to a Flower application that is already built."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler, url

from fluxora_tasks.install import Extension
from fluxora_tasks.interfaces.flower.access import Access
from fluxora_tasks.interfaces.flower.handlers import DeadLetterHandler, DeadLettersHandler
from fluxora_tasks.interfaces.flower.overlay import OverlayLoader
from fluxora_tasks.operations.context import open_dead_letters

_HERE = Path(__file__).parent


def add_pages(flower: Any, extension: Extension) -> None:
    """Add the dead-letter pages, their style sheet and the navigation entry.

    Args:
        flower: A ``flower.app.Flower``, not started yet.
        extension: Of the application it shows; its ledger is opened at the first request.
    """
    add_pages_over(flower, Access(partial(open_dead_letters, extension.settings, extension.connect)))


def add_pages_over(flower: Any, access: Access) -> None:
    """The same over any access; what an unknown Flower could refuse is tried before anything is changed."""
    loader = OverlayLoader(flower.settings["template_path"], _HERE / "templates")
    loader.check()
    handlers = _handlers(_root(flower.options.url_prefix), access)
    flower.add_handlers(".*", handlers)
    flower.settings["template_loader"] = loader


def _root(url_prefix: str | None) -> str:
    """Flower's ``--url_prefix`` as the start of a path: "" or ``/prefix``."""
    prefix = (url_prefix or "").strip("/")
    return f"/{prefix}" if prefix else ""


def _handlers(root: str, access: Access) -> list[Any]:
    return [
        url(root + r"/fluxora/dead", DeadLettersHandler, {"access": access}, name="fluxora-dead"),
        url(
            root + r"/fluxora/dead/([0-9A-Za-z-]{4,64})",
            DeadLetterHandler,
            {"access": access},
            name="fluxora-dead-letter",
        ),
        url(
            root + r"/fluxora/static/(.*)",
            StaticFileHandler,
            {"path": str(_HERE / "static")},
            name="fluxora-static",
        ),
    ]

"""pytest plugin for Celery's integration suite: ``install(app)`` on every app that its fixtures and tests make."""

from __future__ import annotations

import functools
from typing import Any

from celery import Celery
from celery.contrib.testing import app as testing

from fluxora_tasks import install

_make_app = testing.TestApp


@functools.wraps(_make_app)
def _make_installed_app(*args: Any, **kwargs: Any) -> Celery:
    app = _make_app(*args, **kwargs)
    install(app)
    return app


# the suite's modules and fixtures take it from here by name, after this plugin is loaded
testing.TestApp = _make_installed_app

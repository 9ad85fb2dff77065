"""A worker's application; which content it accepts is said from outside."""

from __future__ import annotations

import os

from celery import Celery

from fluxora_tasks import install

#: Names the content types to accept, separated by commas.
ACCEPT = "TEST_ACCEPT"

app = Celery("malformed")
app.conf.accept_content = os.environ.get(ACCEPT, "json").split(",")
if "FLUXORA_TEST_PLAIN" not in os.environ:
    install(app)


@app.task(name="echo")
def echo(value: int) -> int:
    """Proves that the worker takes messages."""
    return value


@app.task(name="two_arguments")
def two_arguments(first: int, second: int) -> None:
    """Most messages bring it other arguments."""

"""Our pages behind Flower's own command, and what an unknown Flower costs."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import click
import pytest
from celery import Celery

from fluxora_tasks import install
from fluxora_tasks.interfaces.flower import application, plugin

command = importlib.import_module("flower.command")


@pytest.fixture(autouse=True)
def _flower_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test puts in place is taken back."""
    build = command.Flower
    monkeypatch.setattr(command, "Flower", getattr(build, "_fluxora_wraps", build))


@pytest.fixture
def given_pages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Applications that were given our pages."""
    given: list[Any] = []
    monkeypatch.setattr(application, "add_pages", lambda flower, extension: given.append(flower))
    return given


def _small(*, installed: bool) -> Celery:
    app = Celery("small", broker="memory://", set_as_current=False)
    if installed:
        install(app)
    return app


def _build(capp: Celery, **_: Any) -> SimpleNamespace:
    return SimpleNamespace(capp=capp)


def test_an_installed_app_gets_the_pages(given_pages: list[Any]) -> None:
    """The application that Flower builds comes back, with pages."""
    flower = plugin.with_pages(_build)(capp=_small(installed=True))
    assert given_pages == [flower]


@pytest.mark.parametrize("installed", [True, False])
def test_a_taken_port_is_told_in_one_line(installed: bool, given_pages: list[Any]) -> None:
    """Address, reason, and the option to change; code 2 as for any other configuration."""

    def refused() -> None:
        raise OSError(98, "Address already in use")

    def build(capp: Celery) -> SimpleNamespace:
        options = SimpleNamespace(address="127.0.0.1", port=5555)
        return SimpleNamespace(capp=capp, options=options, start_http_server=refused)

    flower = plugin.with_pages(build)(capp=_small(installed=installed))
    with pytest.raises(click.ClickException, match=r"127\.0\.0\.1:5555 \(Address already in use\); .* --port") as told:
        flower.start_http_server()
    assert told.value.exit_code == 2


def test_an_app_without_install_gets_plain_flower(given_pages: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """Having the package beside it changes nothing for another app."""
    flower = plugin.with_pages(_build)(capp=_small(installed=False))
    assert isinstance(flower, SimpleNamespace)
    assert given_pages == []
    assert caplog.records == []


@pytest.mark.parametrize(
    "flower",
    [
        SimpleNamespace(),  # no Celery app by that name
        SimpleNamespace(capp=_small(installed=True)),  # no settings, no handlers
        SimpleNamespace(capp=_small(installed=True), settings={"template_path": "/nowhere"}),
    ],
)
def test_an_unknown_flower_loses_only_our_pages(flower: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    """It starts as built, with one line of warning."""
    before = dict(vars(flower))
    with caplog.at_level(logging.WARNING):
        assert plugin.with_pages(lambda: flower)() is flower
    assert vars(flower) == before
    assert len(caplog.records) == 1
    assert "Dead-letter pages are off" in caplog.text


def test_a_flower_that_cannot_be_built_fails_as_before() -> None:
    """Our wrapping hides no error of Flower's own."""

    def build() -> None:
        raise TypeError("port")

    with pytest.raises(TypeError, match="port"):
        plugin.with_pages(build)()


def test_it_is_put_in_place_once() -> None:
    """Loading the entry point again wraps nothing twice."""
    plain = command.Flower
    assert plugin.put_in_place()
    wrapped = command.Flower
    assert plugin.put_in_place()
    assert command.Flower is wrapped
    assert wrapped._fluxora_wraps is plain


def test_a_command_built_differently_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No name to wrap: one line of warning, nothing changed."""
    monkeypatch.delattr(command, "Flower")
    with caplog.at_level(logging.WARNING):
        assert not plugin.put_in_place()
    assert len(caplog.records) == 1
    assert not hasattr(command, "Flower")
    assert "built differently" in plugin.why_not()


def test_without_flower_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No import, no warning; asked for by name, the line says what to install."""
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    assert not plugin.put_in_place()
    assert plugin.why_not() == "Flower with dead-letter pages needs an extra: pip install 'fluxora-tasks[flower]'"


def test_a_worker_loads_nothing_heavy_for_it() -> None:
    """The entry point is loaded by every celery process: no ledger, no page, no template."""
    heavy = ("sqlalchemy", "alembic", "rich", "fluxora_tasks.operations", "fluxora_tasks.ledger")
    pages = ("fluxora_tasks.interfaces.flower.application", "fluxora_tasks.interfaces.flower.handlers")
    code = (
        "import sys, celery.bin.celery, fluxora_tasks.interfaces.flower.entry\n"
        f"print([name for name in {heavy + pages!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"

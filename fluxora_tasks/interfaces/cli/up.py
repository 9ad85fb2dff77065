"""`fluxora up`: everything one desk needs, until Ctrl-C [devstack]."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import click

from fluxora_tasks._version import __version__
from fluxora_tasks.devstack.stack import Stack
from fluxora_tasks.errors import InfrastructureError
from fluxora_tasks.interfaces.cli.application import application, extension
from fluxora_tasks.settings import Settings, mask_url

#: Ports tried after the one asked for; beyond them the system chooses.
_NEXT_PORTS = 20


def up(ctx: click.Context, *, flower_port: int | None, concurrency: int, state_dir: Path | None, as_json: bool) -> None:
    """Start the parts, say where they are, and wait."""
    del as_json  # it runs until stopped; it has no document
    if state_dir is not None:
        os.environ["FLUXORA_STATE_DIR"] = str(state_dir.absolute())
    settings = extension(ctx).settings
    stack = Stack(settings, app=ctx.obj.app_name, concurrency=concurrency, flower_port=choose_port(flower_port))
    click.echo(f"Fluxora Tasks {__version__}: starting …")
    with _terminated_as_interrupted():
        stack.start()
        ended = _run(stack, summary(stack, settings, application(ctx).conf.broker_url, concurrency))
    if ended is not None:
        raise InfrastructureError(f"the {ended} ended by itself; see {stack.log(ended)}")
    click.echo("Stopped.")


def choose_port(wanted: int | None) -> int | None:
    """The port Flower gets, said aloud where it is not the one asked for; ``None``: no Flower, 0: any."""
    if wanted is None:
        return None
    if find_spec("flower") is None:
        click.echo("Flower is not installed; going on without it (pip install 'fluxora-tasks[flower]')")
        return None
    following = range(wanted, min(wanted + _NEXT_PORTS, 65_536))
    port = next((port for port in following if is_free(port)), 0)
    if port != wanted:
        click.echo(f"Port {wanted} is taken; Flower gets {port or 'another'}.")
    return port


def is_free(port: int) -> bool:
    """Whether a server of this machine may have the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def summary(stack: Stack, settings: Settings, broker_url: str | None, concurrency: int) -> str:
    """What runs where."""
    embedded = settings.uses_embedded_store and broker_url in (None, settings.effective_broker_url)
    broker = "embedded Valkey" if embedded else mask_url(broker_url or settings.effective_broker_url)
    rows = (
        ("Flower", stack.flower_url or "not started"),
        ("Worker", f"concurrency {concurrency}, log {stack.log('worker')}"),
        ("Recorder", f"log {stack.log('recorder')}"),
        ("Broker", broker),
        ("Ledger", mask_url(settings.effective_ledger_url)),
        ("State", str(settings.state_dir.absolute())),
    )
    return "\n".join([*(f"  {name:<10}{value}" for name, value in rows), "Ctrl-C stops everything."])


def _run(stack: Stack, text: str) -> str | None:
    """Wait, and stop the parts whatever ends the waiting; the part that ended by itself, if one did."""
    try:
        click.echo(text)
        return stack.wait()
    finally:
        click.echo("Stopping …")
        stack.stop()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM unwinds as Ctrl-C does, so that the parts are stopped in order."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""A Flower on a real port over dead letters in memory, and a client that keeps cookies."""

from __future__ import annotations

import asyncio
import html
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import urlencode, urlsplit

from celery import Celery
from flower.app import Flower
from flower.options import options as flower_options
from flower.urls import settings as flower_settings
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import RequestHandler

from fluxora_tasks.errors import FluxoraError, UnknownDeadLetter
from fluxora_tasks.interfaces.flower.access import Access
from fluxora_tasks.interfaces.flower.application import add_pages_over
from fluxora_tasks.ledger.filters import parse
from fluxora_tasks.operations.records import (
    ActionResult,
    Actor,
    DeadLetterDetail,
    DeadLetterSummary,
    HistoryEntry,
    Page,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DEAD_ID = "7d3f0c2e-5a41-5c8e-9b1a-2f4e6d8a0c11"


def summary(**fields: Any) -> DeadLetterSummary:
    """A dead letter as a row."""
    given: dict[str, Any] = {
        "id": DEAD_ID,
        "status": "PENDING",
        "kind": "retries_exhausted",
        "task": "workers.demand.tasks.ingest_demand",
        "task_id": "0b0b5c1e-0000-4000-8000-000000000001",
        "queue": "demand",
        "exception_type": "requests.exceptions.HTTPError",
        "message": "503 Service Unavailable",
        "attempts": 4,
        "replays": 0,
        "first_failed_at": NOON,
        "last_failed_at": NOON + timedelta(seconds=95),
        "group": None,
        "size": 2048,
    }
    return DeadLetterSummary(**{**given, **fields})


def detail(row: DeadLetterSummary | None = None, **fields: Any) -> DeadLetterDetail:
    """The same, whole."""
    given: dict[str, Any] = {
        "summary": row or summary(),
        "args": ["2000-06-05"],
        "kwargs": {"region": "Nordfriesland, Küste"},
        "body_note": None,
        "content_type": "application/json",
        "headers": {"lang": "py", "retries": 3},
        "traceback": 'Traceback (most recent call last):\n  File "demand.py", line 7\nHTTPError: 503',
        "worker": "celery@localhost",
        "exchange": "",
        "routing_key": "demand",
        "message_id": "0b0b5c1e-0000-4000-8000-000000000001",
        "history": (HistoryEntry(NOON, "failed", "worker", "HTTPError: 503 Service Unavailable", 0),),
    }
    return DeadLetterDetail(**{**given, **fields})


class FakeDeadLetters:
    """The operations, over a dictionary.

    Attributes:
        error: Raised by every call, where set.
        acted: Every action with its actor.
    """

    def __init__(self, *letters: DeadLetterDetail) -> None:
        self.letters = {letter.summary.id: letter for letter in letters}
        self.error: Exception | None = None
        self.refusal: ActionResult | None = None
        self.acted: list[tuple[str, Sequence[str], Actor]] = []
        self.filters: list[str] = []

    def list(self, filter: str = "", *, limit: int = 50, cursor: str | None = None) -> Page:
        self._may_fail()
        self.filters.append(filter)
        parse(filter)
        rows = [letter.summary for letter in self.letters.values()]
        rows = [row for row in rows if "status:" not in filter or f"status:{row.status}" in filter]
        start = int(cursor or 0)
        following = str(start + limit) if start + limit < len(rows) else None
        return Page(rows[start : start + limit], len(rows), following)

    def get(self, id: str) -> DeadLetterDetail:
        self._may_fail()
        if id not in self.letters:
            raise UnknownDeadLetter(id)
        return self.letters[id]

    def replay(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        return self._act("replay", "RETRYING", "Sent again to demand.", ids, actor)

    def resolve(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        return self._act("resolve", "RESOLVED", "Resolved.", ids, actor)

    def discard(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        return self._act("discard", "DISCARDED", "Discarded.", ids, actor)

    def _act(self, action: str, status: str, text: str, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        self._may_fail()
        if self.refusal:
            return [self.refusal]
        self.acted.append((action, tuple(ids), actor))
        for known in ids:
            letter = self.letters[known]
            self.letters[known] = replace(letter, summary=replace(letter.summary, status=status))
        return [ActionResult(known, "done", status, text) for known in ids]

    def _may_fail(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def plain(self) -> str:
        """The text of the page without tags, blanks folded."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.text)).split())


class Client:
    """A person's browser without JavaScript: keeps cookies, follows nothing by itself."""

    def __init__(self, root: str) -> None:
        self._host = urlsplit(root).netloc
        self._cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self._ask("POST", path, urlencode(fields), headers)

    def token(self, path: str, **headers: str) -> str:
        """Flower's token, as the form of the page carries it."""
        found = re.search(r'name="_xsrf" value="([^"]+)"', self.get(path, **headers).text)
        assert found, "no form with a token on the page"
        return found[1]

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        connection = HTTPConnection(self._host, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            self._keep(response.headers.get_all("Set-Cookie") or [])
            return Answer(response.status, dict(response.headers), response.read().decode())
        finally:
            connection.close()

    def _keep(self, lines: Sequence[str]) -> None:
        for line in lines:
            for name, morsel in SimpleCookie(line).items():
                self._cookies[name] = morsel.coded_value
                if not morsel.value:
                    del self._cookies[name]


@contextmanager
def flower_server(dead_letters: FakeDeadLetters | FluxoraError, **options: Any) -> Iterator[Client]:
    """A Flower with our pages on a free port, in a thread; ``options`` are Flower's."""
    started = threading.Event()
    server: dict[str, Any] = {}

    def opened() -> FakeDeadLetters:
        if isinstance(dead_letters, FluxoraError):
            raise dead_letters
        return dead_letters

    async def serve() -> None:
        server["loop"], server["end"] = asyncio.get_running_loop(), asyncio.Event()
        access = Access(opened)  # type: ignore[arg-type]
        flower = bare_flower(**options)
        add_pages_over(flower, access)
        sockets = bind_sockets(0, "127.0.0.1")
        http = HTTPServer(flower)
        http.add_sockets(sockets)
        server["root"] = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        started.set()
        await server["end"].wait()
        http.stop()
        access.close()
        flower.executor.shutdown(wait=False)

    RequestHandler._template_loaders.clear()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(20), "Flower did not start"
    try:
        yield Client(server["root"])
    finally:
        server["loop"].call_soon_threadsafe(server["end"].set)
        thread.join(20)
        RequestHandler._template_loaders.clear()


def bare_flower(**options: Any) -> Flower:
    """Flower's application as its command builds it, without events; needs a running loop."""
    chosen = SimpleNamespace(**{**flower_options.as_dict(), "address": "127.0.0.1", **options})
    capp = Celery("small", broker="memory://")
    return Flower(capp=capp, options=chosen, events=MagicMock(), io_loop=IOLoop.current(), **dict(flower_settings))

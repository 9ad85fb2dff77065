"""Dead letters in memory, and a `fluxora` whose operations they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from fluxora_tasks.errors import RefusedError, UnknownDeadLetter
from fluxora_tasks.install import install
from fluxora_tasks.interfaces.cli import dead
from fluxora_tasks.interfaces.cli.main import main
from fluxora_tasks.operations.records import (
    ActionResult,
    Actor,
    DeadLetterDetail,
    DeadLetterSummary,
    HistoryEntry,
    Page,
)
from fluxora_tasks.settings import Settings

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FIRST = "7d3f0c2e-5a41-5c8e-9b1a-2f4e6d8a0c11"
SECOND = "7d3f1111-5a41-5c8e-9b1a-2f4e6d8a0c22"
THIRD = "a0000000-5a41-5c8e-9b1a-2f4e6d8a0c33"


def summary(**fields: Any) -> DeadLetterSummary:
    """A dead letter as a row."""
    given: dict[str, Any] = {
        "id": FIRST,
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


def letter(**fields: Any) -> DeadLetterDetail:
    """The same, whole; fields of the row and of the whole by name."""
    given: dict[str, Any] = {
        "args": ["2000-06-05"],
        "kwargs": {"region": "Ostfriesland, Küste"},
        "body_note": None,
        "content_type": "application/json",
        "headers": {"lang": "py", "retries": 3},
        "traceback": 'Traceback (most recent call last):\n  File "demand.py", line 7\nHTTPError: 503',
        "worker": "celery@localhost",
        "exchange": "",
        "routing_key": "demand",
        "message_id": "0b0b5c1e-0000-4000-8000-0000000000aa",
        "history": (HistoryEntry(NOON, "failed", "worker", "HTTPError: 503 Service Unavailable", 0),),
    }
    own = {name: fields.pop(name) for name in list(fields) if name in given}
    return DeadLetterDetail(**{**given, **own, "summary": summary(**fields)})


class FakeDeadLetters:
    """The operations, over a dictionary.

    Attributes:
        acted: Every action with its ids and actor.
        after_replay: Status that a replayed record has at the first look after it.
        refusals: Id -> result of an action instead of being done.
        error: Raised by every call, where set.
    """

    def __init__(self, *letters: DeadLetterDetail) -> None:
        self.letters = {one.summary.id: one for one in letters}
        self.acted: list[tuple[str, tuple[str, ...], Actor]] = []
        self.asked: list[tuple[str, int, str | None]] = []
        self.after_replay: dict[str, str] = {}
        self.refusals: dict[str, ActionResult] = {}
        self.error: Exception | None = None

    def list(self, filter: str = "", *, limit: int = 50, cursor: str | None = None) -> Page:
        self._may_fail()
        self.asked.append((filter, limit, cursor))
        rows = [one.summary for one in self.letters.values()]
        start = int(cursor or 0)
        following = str(start + limit) if start + limit < len(rows) else None
        return Page(rows[start : start + limit], len(rows), following)

    def get(self, id: str) -> DeadLetterDetail:
        self._may_fail()
        self._settle()
        found = [known for known in self.letters if known.startswith(id)] if len(id) >= 4 else []
        if not found:
            raise UnknownDeadLetter(id)
        if len(found) > 1:
            raise RefusedError(f"{id!r} is the beginning of {len(found)} ids; write more of it")
        return self.letters[found[0]]

    def select(self, filter: str, status: str = "PENDING") -> Sequence[str]:
        self._may_fail()
        self.meant = status
        return [known for known, one in self.letters.items() if filter in ("", f"status:{one.summary.status}")]

    def replay(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        return self._act("replay", "RETRYING", ids, actor)

    def resolve(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        return self._act("resolve", "RESOLVED", ids, actor)

    def discard(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        return self._act("discard", "DISCARDED", ids, actor)

    def restore(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        return self._act("restore", "PENDING", ids, actor)

    def release(self, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        return self._act("release", "PENDING", ids, actor)

    def _act(self, action: str, status: str, ids: Sequence[str], actor: Actor) -> Sequence[ActionResult]:
        self._may_fail()
        self.acted.append((action, tuple(ids), actor))
        return [self._change(known, status) for known in ids]

    def _change(self, known: str, status: str) -> ActionResult:
        if known in self.refusals:
            return self.refusals[known]
        if known not in self.letters:
            return ActionResult(known, "unknown", None, "no such id")
        self._set(known, status)
        return ActionResult(known, "done", status, f"now {status}")

    def _settle(self) -> None:
        """Let the replays have their outcomes."""
        for known, one in self.letters.items():
            if one.summary.status == "RETRYING" and known in self.after_replay:
                self._set(known, self.after_replay[known])

    def _set(self, known: str, status: str) -> None:
        one = self.letters[known]
        self.letters[known] = replace(one, summary=replace(one.summary, status=status))

    def _may_fail(self) -> None:
        if self.error is not None:
            raise self.error


class Terminal:
    """Runs `fluxora` in this process over the fake operations, as a pipe does."""

    def __init__(self, operations: FakeDeadLetters) -> None:
        self.operations = operations
        self._runner = CliRunner()

    def run(self, *words: str, **environment: str) -> Result:
        return self._runner.invoke(main, words, env=environment, prog_name="fluxora")

    def document(self, *words: str, code: int = 0, **environment: str) -> Any:
        """Run with ``--json``; the one document on standard output, nothing on standard error."""
        result = self.run(*words, "--json", **environment)
        assert result.exit_code == code, result.output
        assert result.stderr == ""
        assert result.stdout.count("\n") == 1
        return json.loads(result.stdout)


def installed_app() -> Celery:
    """A Celery app with `install`, on a broker in memory."""
    app = Celery("small", broker="memory://")
    install(app, Settings(ledger_url="sqlite://"))
    return app


def terminal_over(monkeypatch: pytest.MonkeyPatch, *letters: DeadLetterDetail, app: Celery | None = None) -> Terminal:
    """A terminal whose app and operations are in memory."""
    operations = FakeDeadLetters(*letters)
    monkeypatch.setattr("fluxora_tasks.interfaces.cli.application.load_app", lambda name: app or installed_app())
    monkeypatch.setattr(dead, "open_dead_letters", lambda settings, connect, store: operations)
    return Terminal(operations)


def terminal_of(monkeypatch: pytest.MonkeyPatch, app: Celery) -> Terminal:
    """A terminal of an app."""
    return terminal_over(monkeypatch, app=app)

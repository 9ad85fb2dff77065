"""The pages: a request in, an operation asked, a template out.

Authentication, base template and look are Flower's own. Every page carries a strict content policy, since
what it shows was written by whoever could send a message; every change needs Flower's token *and* our own page
as its origin.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlparse

from flower.views import BaseHandler
from tornado.web import HTTPError, RequestHandler, authenticated

from fluxora_tasks.errors import (
    ConfigurationError,
    ConflictError,
    FluxoraError,
    InfrastructureError,
    MissingExtra,
    RefusedError,
    UnknownDeadLetter,
)
from fluxora_tasks.interfaces.flower import display
from fluxora_tasks.interfaces.flower.access import Access
from fluxora_tasks.interfaces.flower.view import ACTIONS, STATUSES, ListView, detail_view, list_view
from fluxora_tasks.ledger.filters import FIELDS, FilterError
from fluxora_tasks.operations.records import ActionResult, Actor

if TYPE_CHECKING:
    from fluxora_tasks.operations.dead_letters import DeadLetters

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_OPENED_TO_OTHERS: Final = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
)
_NOTE_COOKIE: Final = "fluxora_note"
_REASON_LIMIT: Final = 500

#: Bootstrap's name for the colour of an outcome.
_COLOURS: Final = {"done": "success", "failed": "danger"}


@dataclass(frozen=True, slots=True)
class Note:
    """One line for the person, shown once on the next page."""

    colour: str
    text: str


class Problem(HTTPError):
    """An error answered by our page with one line, instead of a trace."""

    def __init__(self, error: FluxoraError) -> None:
        super().__init__(_status_of(error))
        self.text = "There is no dead letter with this id." if self.status_code == 404 else str(error)


# the base class comes from a package without types
class PageHandler(BaseHandler):  # type: ignore[misc]
    """What our pages have in common."""

    def initialize(self, access: Access) -> None:
        self.access = access

    def set_default_headers(self) -> None:
        super().set_default_headers()
        for header in _OPENED_TO_OTHERS:
            self.clear_header(header)
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        if self.request.method not in ("GET", "HEAD", "OPTIONS"):
            self._refuse_foreign_pages()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 401:
            super().write_error(status_code, **kwargs)
            return
        if not hasattr(self, "_current_user"):
            self.current_user = None  # the navigation asks for it; asking again would raise again
        error = kwargs.get("exc_info", (None, None))[1]
        self.render("fluxora_problem.html", status=status_code, text=_line(error), display=display)

    @property
    def is_read_only(self) -> bool:
        """Flower's ``--read_only``."""
        return bool(getattr(self.application.options, "read_only", False))

    def actor(self, reason: str) -> Actor:
        """Whoever Flower has authenticated, or ``flower``."""
        user = self.current_user
        name = user if isinstance(user, str) else self._basic_auth_user()
        return Actor(name=name or "flower", reason=reason, source="flower")

    def leave_note(self, note: Note) -> None:
        self.set_secure_cookie(_NOTE_COOKIE, json.dumps([note.colour, note.text[:800]]), expires_days=None)

    def take_note(self) -> Note | None:
        kept = self.get_secure_cookie(_NOTE_COOKIE, max_age_days=1)
        if not kept:
            return None
        self.clear_cookie(_NOTE_COOKIE)
        colour, text = json.loads(kept)
        return Note(colour, text)

    def _refuse_foreign_pages(self) -> None:
        """Flower itself checks neither token nor origin while it has no authentication; we always do."""
        site = self.request.headers.get("Sec-Fetch-Site")
        origin = self.request.headers.get("Origin")
        if site and site != "same-origin":
            raise HTTPError(403)
        if not site and origin and urlparse(origin).netloc != self.request.host:
            raise HTTPError(403)
        RequestHandler.check_xsrf_cookie(self)

    def _basic_auth_user(self) -> str:
        scheme, _, credentials = self.request.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or not self.application.options.basic_auth:
            return ""
        return b64decode(credentials).decode().partition(":")[0]


class DeadLettersHandler(PageHandler):
    """The list."""

    @authenticated
    async def get(self) -> None:
        asked = list_view(
            filter=self.get_query_argument("filter", ""),
            status=self.get_query_argument("status", ""),
            cursor=self.get_query_argument("cursor", ""),
            before=self.get_query_arguments("before"),
        )
        page, refusal = None, ""
        try:
            page = await self.access.ask(
                lambda dead_letters: dead_letters.list(asked.effective_filter, cursor=asked.cursor or None)
            )
        except (FilterError, RefusedError) as error:
            refusal = str(error)
            self.set_status(400)
        except FluxoraError as error:
            raise Problem(error) from error
        self.render(
            "fluxora_dead_letters.html",
            asked=asked,
            page=page,
            refusal=refusal,
            note=self.take_note(),
            display=display,
            statuses=STATUSES,
            link=self._link,
            fields=FIELDS,
        )

    def _link(self, asked: ListView) -> str:
        query = urlencode(asked.query())
        return str(self.reverse_url("fluxora-dead")) + (f"?{query}" if query else "")


class DeadLetterHandler(PageHandler):
    """One dead letter, and what can be done with it."""

    @authenticated
    async def get(self, dead_id: str) -> None:
        try:
            view = await self.access.ask(lambda dead_letters: detail_view(dead_letters.get(dead_id)))
        except FluxoraError as error:
            raise Problem(error) from error
        self.render(
            "fluxora_dead_letter.html",
            letter=view,
            read_only=self.is_read_only,
            reason_limit=_REASON_LIMIT,
            note=self.take_note(),
            display=display,
            statuses=STATUSES,
        )

    @authenticated
    async def post(self, dead_id: str) -> None:
        if self.is_read_only:
            raise HTTPError(403)
        action = self.get_body_argument("action", "")
        if action not in ACTIONS:
            raise HTTPError(400)
        reason = self.get_body_argument("reason", "")[:_REASON_LIMIT]
        self.leave_note(await self._act(action, dead_id, reason))
        self.redirect(self.reverse_url("fluxora-dead-letter", dead_id), status=303)

    async def _act(self, action: str, dead_id: str, reason: str) -> Note:
        if not reason:
            return Note("danger", f"Nothing was done: to {action} needs a reason.")
        actor = self.actor(reason)

        def question(dead_letters: DeadLetters) -> ActionResult:
            known = dead_letters.get(dead_id).summary.id
            results: Sequence[ActionResult] = getattr(dead_letters, action)([known], actor)
            return results[0]

        try:
            result = await self.access.ask(question)
        except UnknownDeadLetter as error:
            raise Problem(error) from error
        except FluxoraError as error:
            return Note("danger", f"Could not {action}: {error}")
        return Note(_COLOURS.get(result.outcome, "warning"), result.detail)


def _status_of(error: FluxoraError) -> int:
    if isinstance(error, UnknownDeadLetter):
        return 404
    if isinstance(error, ConflictError):
        return 409
    if isinstance(error, (InfrastructureError, MissingExtra)):
        return 503
    return 400 if isinstance(error, (RefusedError, ConfigurationError)) else 500


_LINES: Final = {
    400: "This request cannot be understood.",
    403: "This is not allowed: Flower is read-only, or the request did not come from its own page.",
    404: "There is no such page.",
    405: "There is no such page.",
}


def _line(error: BaseException | None) -> str:
    if isinstance(error, Problem):
        return error.text
    if isinstance(error, HTTPError):
        return _LINES.get(error.status_code, "Something went wrong; Flower's log has more.")
    return "Something went wrong; Flower's log has more."

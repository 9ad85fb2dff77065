"""The pages over HTTP, in a real Flower without broker."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta

import pytest

from fluxora_tasks.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ConflictError,
    LedgerUnavailable,
    MissingExtra,
)
from fluxora_tasks.operations.records import ActionResult, HistoryEntry
from tests.unit.interfaces.flower.fakes import (
    DEAD_ID,
    NOON,
    Client,
    FakeDeadLetters,
    detail,
    flower_server,
    summary,
)

LIST = "/fluxora/dead"
PAGE = f"{LIST}/{DEAD_ID}"

HOSTILE = "</pre></code><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e\x00{{ 7*1234567 }}{% raw x %}"


def _act(client: Client, action: str = "replay", reason: str = "repaired", **headers: str) -> int:
    token = client.token(PAGE)
    return client.post(PAGE, {"_xsrf": token, "action": action, "reason": reason}, **headers).status


# ------------------------------------------------------------------------------------------------ list


def test_the_list_says_what_died_and_why() -> None:
    """Status, task, kind, error, counts, time and the way to the rest."""
    with flower_server(FakeDeadLetters(detail(summary(replays=2)))) as client:
        page = client.get(LIST)
    assert page.status == 200
    for text in (
        "Pending",
        "workers. demand. tasks. ingest_ demand",
        "retries exhausted",
        "requests. exceptions. HTTPError",
        "503 Service Unavailable",
        "2026-03-01 12:01:35",
        "1 message",
    ):
        assert text in page.plain
    assert f'href="{PAGE}"' in page.text


def test_an_empty_ledger_says_so() -> None:
    """Not an empty table."""
    with flower_server(FakeDeadLetters()) as client:
        assert "No dead letters." in client.get(LIST).plain
        assert "No dead letter matches." in client.get(f"{LIST}?filter=task%3Aa").plain


def test_filter_and_status_reach_the_operation() -> None:
    """As typed, quotes and all; and stand in the box again."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters) as client:
        page = client.get(f"{LIST}?status=PENDING&filter=task%3A%22a+%3C+b%22")
    assert dead_letters.filters == ['task:"a < b" status:PENDING']
    assert 'value="task:&quot;a &lt; b&quot;"' in page.text
    assert 'aria-current="page">Pending' in " ".join(page.text.split())


def test_a_filter_that_cannot_be_read_is_explained_at_its_box() -> None:
    """Status 400, the text stays, the rest of the page works."""
    with flower_server(FakeDeadLetters(detail())) as client:
        page = client.get(f"{LIST}?filter=bad%3A1")
    assert page.status == 400
    assert "filter, character 1: unknown field 'bad'" in page.plain
    assert 'aria-invalid="true"' in page.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationError("the cursor is none of ours"), 400),
        (MissingExtra("postgres", "a ledger on PostgreSQL"), 503),
    ],
)
def test_what_cannot_be_answered_is_one_line(error: Exception, status: int) -> None:
    """Asked wrongly, or not to be had here."""
    dead_letters = FakeDeadLetters(detail())
    dead_letters.error = error
    with flower_server(dead_letters) as client:
        page = client.get(f"{LIST}?cursor=x")
    assert page.status == status
    assert str(error) in page.plain


def test_pages_lead_older_and_back() -> None:
    """By cursor, one way and the other."""
    letters = [detail(summary(id=f"{n:08d}-aaaa", last_failed_at=NOON - timedelta(minutes=n))) for n in range(120)]
    with flower_server(FakeDeadLetters(*letters)) as client:
        first = client.get(LIST)
        second = client.get(_href(first.text, "next"))
        third = client.get(_href(second.text, "next"))
        again = client.get(_href(third.text, "prev"))
    assert "00000000" in first.text
    assert "00000050" in second.text
    assert "00000119" in third.text
    assert 'rel="next"' not in third.text
    assert 'rel="prev"' not in first.text
    assert again.text == second.text


def _href(page: str, rel: str) -> str:
    start = page.index(f'rel="{rel}" href="') + len(f'rel="{rel}" href="')
    return page[start : page.index('"', start)].replace("&amp;", "&")


# ---------------------------------------------------------------------------------------------- detail


def test_the_page_has_everything_known() -> None:
    """Error, traceback, arguments, headers, history, facts."""
    history = (
        HistoryEntry(NOON, "failed", "worker", "HTTPError: 503", 0),
        HistoryEntry(NOON, "replayed", "ada", "service repaired", 1),
    )
    with flower_server(FakeDeadLetters(detail(history=history))) as client:
        page = client.get(PAGE)
    assert page.status == 200
    for text in (
        "requests.exceptions.HTTPError",
        'File "demand.py", line 7',
        '["2000-06-05"]',
        "Nordfriesland, Küste",
        '"retries": 3',
        "replayed replay 1 by ada",
        "service repaired",
        "2.0 KiB",
        "application/json",
    ):
        assert text in page.plain


def test_a_body_that_is_not_shown_says_why() -> None:
    """A pickle is never loaded."""
    letter = detail(args=None, kwargs=None, body_note="pickle, 312 bytes: never loaded here")
    with flower_server(FakeDeadLetters(letter)) as client:
        page = client.get(PAGE)
    assert "pickle, 312 bytes: never loaded here" in page.plain
    assert "Keyword arguments" not in page.plain


@pytest.mark.parametrize("path", [f"{LIST}/00000000", f"{LIST}/beefbeef-0000"])
def test_an_unknown_id_is_not_found(path: str) -> None:
    """One line and the way back, status 404."""
    with flower_server(FakeDeadLetters(detail())) as client:
        page = client.get(path)
    assert page.status == 404
    assert "There is no dead letter with this id." in page.plain


def test_hostile_values_stay_text() -> None:
    """Every text of a message is escaped on both pages, and nothing of it is run as a template."""
    letter = detail(
        summary(task=HOSTILE, message=HOSTILE, exception_type=HOSTILE, queue=HOSTILE, kind="exception"),
        args=[HOSTILE],
        kwargs={HOSTILE: HOSTILE},
        headers={HOSTILE: HOSTILE},
        traceback=HOSTILE,
        worker=HOSTILE,
        content_type=HOSTILE,
        body_note=HOSTILE,
        history=(HistoryEntry(NOON, HOSTILE, HOSTILE, HOSTILE, 0),),
    )
    with flower_server(FakeDeadLetters(letter)) as client:
        pages = [client.get(LIST), client.get(PAGE)]
        found = client.get(f"{LIST}?filter=%3Cscript%3Ealert(1)%3C%2Fscript%3E%22")
    assert [page.status for page in (*pages, found)] == [200, 200, 400]
    for page in (*pages, found):
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "\u202e" not in page.text
        assert "\x00" not in page.text
        assert "8641969" not in page.text


@pytest.mark.parametrize("path", [LIST, PAGE, f"{LIST}/00000000"])
def test_pages_run_no_foreign_script(path: str) -> None:
    """A strict content policy, and no script or style of ours inline that it would have to allow."""
    with flower_server(FakeDeadLetters(detail())) as client:
        page = client.get(path)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert "<script>" not in page.text
    assert " style=" not in page.text
    assert "onclick" not in page.text


def test_pages_are_not_opened_to_other_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where Flower's API is."""
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    with flower_server(FakeDeadLetters(detail())) as client:
        assert "Access-Control-Allow-Origin" not in client.get(PAGE).headers


# --------------------------------------------------------------------------------------------- actions


@pytest.mark.parametrize(
    ("action", "status", "text"),
    [
        ("replay", "Retrying", "Sent again to demand."),
        ("resolve", "Resolved", "Resolved."),
        ("discard", "Discarded", "Discarded."),
    ],
)
def test_an_action_is_done_and_told_once(action: str, status: str, text: str) -> None:
    """Post, redirect, get: the message shows, a reload shows it no more and repeats nothing."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters) as client:
        token = client.token(PAGE)
        answer = client.post(PAGE, {"_xsrf": token, "action": action, "reason": "repaired"})
        after = client.get(answer.headers["Location"])
        again = client.get(PAGE)
    assert answer.status == 303
    assert answer.headers["Location"] == PAGE
    assert 'id="fluxora-note"' in after.text
    assert text in after.plain
    assert status in after.plain
    assert 'id="fluxora-note"' not in again.text
    ((done, ids, actor),) = dead_letters.acted
    assert (done, ids) == (action, (DEAD_ID,))
    assert (actor.name, actor.reason, actor.source) == ("flower", "repaired", "flower")


def test_without_a_reason_nothing_is_done() -> None:
    """The browser asks for it; so does the server."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters) as client:
        assert _act(client, reason="   ") == 303
        assert "Nothing was done: to replay needs a reason." in client.get(PAGE).plain
    assert dead_letters.acted == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, 303),
        ({}, 303),  # an older browser or a tool, with the token
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another service of the same company
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_a_foreign_page_cannot_act(headers: dict[str, str], status: int) -> None:
    """Even with a token it got hold of."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters) as client:
        assert _act(client, **headers) == status
    assert len(dead_letters.acted) == (status == 303)


@pytest.mark.parametrize("token", ["", "2|00000000|00|0"])
def test_without_the_token_nothing_is_done(token: str) -> None:
    """Although Flower itself checks none while it has no authentication."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters) as client:
        client.token(PAGE)
        answer = client.post(PAGE, {"_xsrf": token, "action": "replay", "reason": "x"})
    assert answer.status == 403
    assert dead_letters.acted == []


def test_a_read_only_flower_changes_nothing() -> None:
    """It says so and has no form."""
    with flower_server(FakeDeadLetters(detail()), read_only=True) as client:
        page = client.get(PAGE)
    assert "Flower is read-only" in page.plain
    assert "<form" not in page.text


def test_a_read_only_flower_refuses_a_post_with_a_good_token() -> None:
    """A form kept from before the switch does nothing."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters) as writable:
        token = writable.token(PAGE)
        cookies = dict(writable._cookies)
    with flower_server(dead_letters, read_only=True) as client:
        client._cookies.update(cookies)
        answer = client.post(PAGE, {"_xsrf": token, "action": "replay", "reason": "x"})
    assert answer.status == 403
    assert "read-only" in answer.plain
    assert dead_letters.acted == []


@pytest.mark.parametrize("action", ["", "delete", "get", "__class__"])
def test_an_unknown_action_is_refused(action: str) -> None:
    """Only the three."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters) as client:
        assert _act(client, action=action) == 400
    assert dead_letters.acted == []


def test_a_refusal_is_told() -> None:
    """In the words of the operation."""
    dead_letters = FakeDeadLetters(detail())
    dead_letters.refusal = ActionResult(DEAD_ID, "conflict", "RETRYING", "Already replaying.")
    with flower_server(dead_letters) as client:
        assert _act(client) == 303
        page = client.get(PAGE)
    assert "Already replaying." in page.plain
    assert "alert-warning" in page.text


@pytest.mark.parametrize("error", [BrokerUnavailable("the broker is away"), ConflictError("changed meanwhile")])
def test_a_part_that_is_away_is_told(error: Exception) -> None:
    """No trace; the page is there again."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters) as client:
        token = client.token(PAGE)
        dead_letters.error = error
        answer = client.post(PAGE, {"_xsrf": token, "action": "replay", "reason": "x"})
        dead_letters.error = None
        page = client.get(PAGE)
    assert answer.status == 303
    assert f"Could not replay: {error}" in page.plain


# ------------------------------------------------------------------------------- around the pages


def test_a_ledger_that_is_away_is_one_line() -> None:
    """Status 503, what to do, no trace; Flower's own pages go on."""
    away = LedgerUnavailable("the ledger has no schema yet; start the recorder")
    with flower_server(away) as client:
        pages = [client.get(LIST), client.get(PAGE)]
        workers = client.get("/workers")
    for page in pages:
        assert page.status == 503
        assert "the ledger has no schema yet; start the recorder" in page.plain
        assert "Traceback" not in page.text
    assert workers.status == 200


def test_an_unexpected_error_shows_nothing_of_itself() -> None:
    """It is in the log."""
    dead_letters = FakeDeadLetters(detail())
    dead_letters.error = RuntimeError("postgresql://user:secret@host")
    with flower_server(dead_letters) as client:
        page = client.get(LIST)
    assert page.status == 500
    assert "Something went wrong" in page.plain
    assert "secret" not in page.text


@pytest.mark.parametrize("path", ["/workers", "/tasks", "/nowhere"])
def test_every_page_of_flower_has_the_entry(path: str) -> None:
    """Its error page too."""
    with flower_server(FakeDeadLetters()) as client:
        page = client.get(path)
    assert 'href="/fluxora/dead"' in page.text


@pytest.mark.parametrize("prefix", ["ops", "/ops/", "a/b"])
def test_the_url_prefix_is_kept(prefix: str) -> None:
    """In routes, links, style sheet and redirects."""
    root = f"/{prefix.strip('/')}"
    with flower_server(FakeDeadLetters(detail()), url_prefix=prefix) as client:
        page = client.get(root + LIST)
        assert client.get(LIST).status == 404
        assert client.get(f"{root}/fluxora/static/fluxora.css").status == 200
        token = client.token(root + PAGE)
        answer = client.post(root + PAGE, {"_xsrf": token, "action": "replay", "reason": "x"})
    assert f'href="{root}{PAGE}"' in page.text
    assert f'href="{root}/fluxora/static/fluxora.css"' in page.text
    assert answer.headers["Location"] == root + PAGE


def test_flowers_passwords_guard_the_pages() -> None:
    """401 without; with it, the login is the actor."""
    dead_letters = FakeDeadLetters(detail())
    login = {"Authorization": "Basic " + b64encode(b"ada:secret").decode()}
    wrong = {"Authorization": "Basic " + b64encode(b"ada:guess").decode()}
    with flower_server(dead_letters, basic_auth=["ada:secret"]) as client:
        for path in (LIST, PAGE):
            assert client.get(path).status == 401
            assert client.get(path, **wrong).status == 401
        token = client.token(PAGE, **login)
        fields = {"_xsrf": token, "action": "replay", "reason": "x"}
        assert client.post(PAGE, fields).status == 401
        assert client.post(PAGE, fields, **login).status == 303
    assert [actor.name for _, _, actor in dead_letters.acted] == ["ada"]


def test_flowers_oauth_guards_the_pages() -> None:
    """A stranger is sent to the login, and cannot post."""
    dead_letters = FakeDeadLetters(detail())
    with flower_server(dead_letters, auth=r"ada@example\.org") as client:
        answer = client.get(PAGE)
        refused = client.post(PAGE, {"action": "replay", "reason": "x"})
    assert answer.status == 302
    assert answer.headers["Location"].startswith("/login?")
    assert refused.status == 403
    assert dead_letters.acted == []

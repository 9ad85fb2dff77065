"""The demand service and its client, over real HTTP on the loopback address."""

from __future__ import annotations

import json
import pickle
import socket
import threading
from collections.abc import Callable
from datetime import date
from http.client import HTTPConnection

import pytest

from fluxora_tasks import NonRetryableError, RetryableError
from fluxora_tasks.classification import Outcome, classify
from tests.unit.workers.serving import serving
from tests.waiting import wait_until
from workers.demand.client import CorruptedAnswer, NotThere, fetch_day, fetch_recent, parse_day, repair
from workers.demand.faults import Fault, Outage, Schedule
from workers.demand.records import FIRST_DAY, REGION, period_starts, recorded_days
from workers.demand.service import DemandService

DAY = date(2000, 7, 3)
TRUTH = recorded_days()[DAY]


def raised_by(call: Callable[[], object]) -> Exception:
    """The exception a call ends with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  which one is what is tested
        call()
    return caught.value


def attempts(service: DemandService, number: int, day: date = DAY) -> list[object]:
    """What a number of requests for a day bring: the values, or the type of the error."""
    outcomes: list[object] = []
    for _ in range(number):
        try:
            outcomes.append(fetch_day(service.url, REGION, day))
        except Exception as error:
            outcomes.append(type(error))
    return outcomes


def test_a_day_is_what_the_record_says() -> None:
    """48 values, as in the file."""
    with serving() as service:
        assert fetch_day(service.url, REGION, DAY) == TRUTH


def test_recent_days_are_the_end_of_the_record() -> None:
    """Fifteen whole days, the last one last."""
    with serving() as service:
        recent = fetch_recent(service.url, REGION)
    assert list(recent.items()) == list(recorded_days().items())[-15:]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"days": null}', b'{"days": {"2000-08-01": null}}', b'{"days": {"x": []}}']
)
def test_recent_days_that_are_none_are_refused(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with the body is said by one error."""
    monkeypatch.setattr("workers.demand.client._asked", lambda *_: body)
    assert isinstance(raised_by(lambda: fetch_recent("http://nowhere", REGION)), CorruptedAnswer)


def test_a_busy_service_is_worth_another_attempt() -> None:
    """503 is retryable, and the next request is answered."""
    with serving(Schedule({DAY: (Fault.BUSY,)})) as service:
        error = raised_by(lambda: fetch_day(service.url, REGION, DAY))
        assert isinstance(error, RetryableError)
        assert error.retry_after is None
        assert "503" in str(error)
        assert fetch_day(service.url, REGION, DAY) == TRUTH


def test_a_hint_how_long_to_wait_is_passed_on() -> None:
    """Retry-After in seconds becomes retry_after, and survives the way out of a pool process."""
    with serving(Schedule({DAY: (Fault.BUSY_WITH_HINT,)})) as service:
        error = raised_by(lambda: fetch_day(service.url, REGION, DAY))
    assert isinstance(error, RetryableError)
    assert pickle.loads(pickle.dumps(error)).retry_after == error.retry_after == 1.0


def test_a_slow_answer_arrives() -> None:
    """The client's patience is longer than the service's slowness."""
    with serving(Schedule({DAY: (Fault.SLOW,)})) as service:
        assert fetch_day(service.url, REGION, DAY) == TRUTH


def test_no_answer_in_time_is_transient() -> None:
    """A timeout is classified as worth another attempt."""
    with serving(Schedule({DAY: (Fault.SLOW,)})) as service:
        error = raised_by(lambda: fetch_day(service.url, REGION, DAY, timeout=0.05))
    assert classify(error) is Outcome.FAILURE_RETRYABLE


def test_a_cut_connection_is_transient() -> None:
    """A reset is classified as worth another attempt."""
    with serving(Schedule({DAY: (Fault.RESET,)})) as service:
        error = raised_by(lambda: fetch_day(service.url, REGION, DAY))
        assert isinstance(error, ConnectionError)
        assert classify(error) is Outcome.FAILURE_RETRYABLE
        assert fetch_day(service.url, REGION, DAY) == TRUTH


def test_nobody_there_is_transient() -> None:
    """A refused connection is classified as worth another attempt."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = raised_by(lambda: fetch_day(url, REGION, DAY))
    assert classify(error) is Outcome.FAILURE_RETRYABLE


@pytest.mark.parametrize(("region", "day"), [("atlantis", DAY), ("../x y", DAY), (REGION, date(1999, 1, 1))])
def test_what_does_not_exist_is_final(region: str, day: date) -> None:
    """404 is not tried again, and says what was asked for."""
    with serving() as service:
        error = raised_by(lambda: fetch_day(service.url, region, day))
    assert isinstance(error, NotThere)
    assert repr(region) in str(error)
    assert str(day) in str(error)


@pytest.mark.parametrize("fault", [Fault.TRUNCATED, Fault.NONSENSE])
def test_a_corrupted_day_is_final_until_it_is_repaired(fault: Fault) -> None:
    """The body is refused each time; after the repair it is right."""
    with serving(Schedule(corrupted={DAY: fault})) as service:
        assert attempts(service, 2) == [CorruptedAnswer, CorruptedAnswer]
        assert repair(service.url) == [str(DAY)]
        assert fetch_day(service.url, REGION, DAY) == TRUTH
        assert repair(service.url) == []


@pytest.mark.parametrize("mishap", [Fault.SLOW, Fault.BUSY])
def test_a_corrupted_day_is_corrupted_whatever_else_is_planned_for_it(mishap: Fault) -> None:
    """A mishap of the same day does not let a whole answer through."""
    with serving(Schedule({DAY: (mishap,)}, {DAY: Fault.NONSENSE})) as service:
        assert attempts(service, 2) == [CorruptedAnswer, CorruptedAnswer]


def test_the_outage_begins_after_its_requests_and_ends() -> None:
    """Everything fails in it, transiently; the health page is answered; requests in it count for no schedule."""
    days = [FIRST_DAY, date(2000, 6, 6)]
    with serving(Schedule({days[0]: (Fault.BUSY_WITH_HINT,)}), Outage(after=1, seconds=0.3)) as service:
        assert attempts(service, 1, DAY) == [TRUTH]
        for day in days:
            error = raised_by(lambda day=day: fetch_day(service.url, REGION, day))  # type: ignore[misc]
            assert classify(error) is Outcome.FAILURE_RETRYABLE
        assert service.is_dark
        assert get(service, "/health") == (200, {"status": "ok", "outage": True})
        wait_until(lambda: not service.is_dark, what="the end of the outage")
        error = raised_by(lambda: fetch_day(service.url, REGION, days[0]))
        assert isinstance(error, RetryableError)
        assert error.retry_after == 1.0


def test_the_order_of_requests_changes_no_fault() -> None:
    """Two days asked for in turn, or at the same time from many threads, meet what the schedule says."""
    plan = Schedule({DAY: (Fault.BUSY, Fault.RESET), FIRST_DAY: (Fault.BUSY_WITH_HINT,)})
    with serving(plan) as service:
        outcomes: dict[date, list[object]] = {}
        threads = [
            threading.Thread(target=lambda day=day: outcomes.update({day: attempts(service, 3, day)}))  # type: ignore[misc]
            for day in (DAY, FIRST_DAY)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outcomes[DAY] == [RetryableError, ConnectionResetError, TRUTH]
    first_day = recorded_days()[FIRST_DAY]
    assert outcomes[FIRST_DAY] == [RetryableError, first_day, first_day]


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/v1/regions"), ("POST", "/v1/other")])
def test_other_pages_are_not_there(method: str, path: str) -> None:
    """404 with a document."""
    with serving() as service:
        assert get(service, path, method) == (404, {"error": "no such page"})


def test_a_day_that_is_no_day_is_not_there() -> None:
    """A wrong date is an answer, not a fault."""
    with serving() as service:
        status, _ = get(service, f"/v1/regions/{REGION}/demand/yesterday")
        assert status == 404


def rows(values: list[object], starts: list[str] | None = None) -> bytes:
    starts = starts or period_starts(DAY)
    body = [{"period_start": start, "demand": value} for start, value in zip(starts, values, strict=False)]
    return json.dumps({"values": body}).encode()


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not the JSON of a day"),
        (b"\xff\xfe", "not the JSON of a day"),
        (b"[]", "not the JSON of a day"),
        (b'{"values": 3}', "not the JSON of a day"),
        (b'{"values": [3]}', "not the JSON of a day"),
        (b'{"values": [{"demand": 3}]}', "not the JSON of a day"),
        (rows([30_000.0] * 47), "47 values instead of 48"),
        (rows([30_000.0] * 48, period_starts(FIRST_DAY)), "other times"),
        (rows([float("nan"), *[30_000.0] * 47]), "nan is not a demand"),
        (rows([float("inf"), *[30_000.0] * 47]), "inf is not a demand"),
        (rows([None, *[30_000.0] * 47]), "None is not a demand"),
        (rows([True, *[30_000.0] * 47]), "True is not a demand"),
        (rows(["30000", *[30_000.0] * 47]), "30000 is not a demand"),
        (rows([-1.0, *[30_000.0] * 47]), "-1.0 is not a demand"),
        (rows([9e9, *[30_000.0] * 47]), "is not a demand"),
    ],
)
def test_a_wrong_body_is_refused_with_its_reason(body: bytes, complaint: str) -> None:
    """Nothing but 48 plausible values for the right half hours gets in; the error is final and survives pickle."""
    error = raised_by(lambda: parse_day(body, DAY))
    assert isinstance(error, CorruptedAnswer)
    assert isinstance(error, NonRetryableError)
    assert complaint in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def get(service: DemandService, path: str, method: str = "GET") -> tuple[int, object]:
    """Status and document of a page."""
    connection = HTTPConnection("127.0.0.1", service.server_port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()

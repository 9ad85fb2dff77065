from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fluxora_tasks.transport.delay import LONGEST, SHORTEST, delayed_envelope, delayed_member, wait_of

NOW = datetime(2000, 6, 5, 12, tzinfo=UTC)


def wait_for(eta: object) -> int | None:
    return wait_of({"headers": {"eta": eta}}, NOW.timestamp())


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (timedelta(seconds=90), 90_000),
        (timedelta(seconds=2.5), 2_500),  # fractions count
        (timedelta(seconds=SHORTEST - 0.1), None),  # short enough for the worker
        (timedelta(seconds=-5), None),  # over
        (timedelta(seconds=LONGEST + 1), None),  # a mistake, for the worker to put on record
    ],
)
def test_the_broker_keeps_what_waits_longer_than_a_moment(ahead: timedelta, expected: int | None) -> None:
    """The wait is what is left of it when the message is published."""
    assert wait_for((NOW + ahead).isoformat()) == expected


def test_the_zone_of_the_eta_counts() -> None:
    """The same moment in another zone is the same wait."""
    assert wait_for("2000-06-05T14:00:30+02:00") == 30_000
    assert wait_for("2000-06-05T12:00:30Z") == 30_000


@pytest.mark.parametrize("eta", [None, "", "tomorrow", 7, [], "2000-06-05T12:30:00"])
def test_what_is_no_moment_is_not_delayed(eta: object) -> None:
    """A time without a zone is known to the worker's application alone."""
    assert wait_for(eta) is None


@pytest.mark.parametrize("message", [{}, {"headers": None}, {"headers": "text"}])
def test_any_headers_are_survived(message: dict[str, object]) -> None:
    """The transport carries messages of other programs, too."""
    assert wait_of(message, 0.0) is None


def test_a_delayed_message_tells_where_it_goes() -> None:
    """List and envelope come apart again, whatever the envelope contains."""
    member = delayed_member("queue\x06\x163", '{"a": "\\u0000"}')
    assert member.partition("\0")[0] == "queue\x06\x163"
    assert delayed_envelope(member.encode()) == b'{"a": "\\u0000"}'

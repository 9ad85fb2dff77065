"""Texts without their values."""

from __future__ import annotations

import re
import time
import uuid
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxora_tasks.deadletter.grouping.parameters import LONGEST, parameterise

#: What texts are made of that patterns might trip over.
_PIECES = st.sampled_from(
    ["'", '"', "`", "“", "”", "\\", "/", "//", "://", ":", "::", ".", "@", "-", "+", " ", "\n", "<", ">", "(", ")",
     "0x", "deadbeef", "a", "é", "1", "12", "٣", "1e5", "jan", "mon ", "datetime.date(", "10:00:00", "2026-11-23",
     "\x1f", "<int>", "\ud800"]
)  # fmt: skip
_TEXTS = st.text() | st.lists(_PIECES, max_size=80).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no price for 17", "no price for <int>"),
        ("got -5, want +7", "got <int>, want <int>"),  # a sign belongs to its number
        ("1,234,567 rows, 3.5 % of 1e9", "<int> rows, <float> % of <float>"),
        ("see https://shop.example/orders/17?token=abc now", "see <url> now"),
        ("postgresql://joe:secret@db/shop refused", "<url> refused"),  # with its password
        ("joe.bloggs+x@shop.example is unknown", "<email> is unknown"),
        ("order 3F2504E0-4f89-11d3-9a0c-0305e82c3301", "order <uuid>"),
        ("10.0.0.1:5432 and fe80::1%eth0.", "<ip>:<int> and <ip>."),
        ("since 2026-11-23T10:00:00.5+01:00", "since <timestamp>"),
        ("since 2026-11-23 10:00:00, day 2026-11-23", "since <timestamp>, day <timestamp>"),
        ("Mon, 23 Nov 2026 10:00:00 GMT", "<timestamp>"),
        ("Mon Nov  3 10:00:00 2026", "<timestamp>"),
        ("at 10:00:00.123", "at <timestamp>"),
        ("datetime.datetime(2026, 11, 3, tzinfo=zoneinfo.ZoneInfo(key='UTC'))", "<timestamp>"),  # zeros are left out
        ("<Till object at 0x7f12>", "<Till object at <hex>>"),
        ("commit deadbeef01 by 00:1b:44:11:3a:b7", "commit <hex> by <hex>"),
        ("12345678", "<int>"),  # a number stays a number as it grows
        ("cus_9s6XKzkNRiz8i3 of AKIA1234567890", "cus_<token> of <token>"),
        ("user 'bob' or \"jim\" or `joe` or “ann”", "user <quoted> or <quoted> or <quoted> or <quoted>"),
        ("can't find it, isn't there", "can't find it, isn't there"),  # apostrophes quote nothing
        ("'it\\'s me' again", "<quoted> again"),
        ("no file /var/lib/shop/17.json", "no file <path>"),
        ("~/x, ../y and C:\\shop\\z", "<path> <path> and <path>"),
        ("shop/2026/orders", "<path>"),
        ("km/h and/or more", "km/h and/or more"),
        ("two  blanks\tand\n\nlines ", "two blanks and lines"),
        ("", ""),
    ],
)  # fmt: skip
def test_values_become_placeholders(text: str, expected: str) -> None:
    """One row per kind of value, and per text that is none."""
    assert parameterise(text) == expected


def test_a_thousand_messages_are_one() -> None:
    """Ids, times, URLs, addresses and quoted names of any value."""
    random = Random(7)

    def message() -> str:
        number, month, day = random.randrange(10**9), random.randrange(1, 13), random.randrange(1, 29)
        hexadecimal = f"{random.randrange(16**12, 16**13):x}f"
        name = "".join(random.choices("abcdefgh '", k=random.randrange(1, 30))).replace("'", "\\'")
        return (
            f"order {number} ({uuid.UUID(int=random.getrandbits(128))}, {hexadecimal}) of '{name}' "
            f"<u{number}@shop{day}.example> at 2026-{month:02}-{day:02}T10:{day:02}:{month:02}.{number}Z "
            f"from 10.{day}.{month}.7: POST https://api.example/v{month}/orders/{number}?at={day} "
            f"took {random.random() + 0.1:.6f} s"
        )

    assert len({parameterise(message()) for _ in range(1000)}) == 1


@pytest.mark.parametrize(
    "piece",
    ["a", "1", "'", '"', "“", "„", "«", "'\\", "\\", "\\'", "a@", "a+", "1.", ".1", "/", "a/", ":", "a:", "ab:", "ab-",
     "::", "0x", "1-", "-1", "+", "1,", "1e", "1a", "'a ", "\"'", "mon ", "may ", "0 jan ", "1:1:", "1111/", " ", "://",
     "datetime.date(", "datetime.date(()", "datetime.date((((("],
)  # fmt: skip
def test_a_hostile_text_takes_no_longer_than_another(piece: str) -> None:
    """64 KiB of what patterns go back over; a quadratic one takes minutes."""
    began = time.process_time()
    parameterise(piece * (65536 // len(piece)))
    assert time.process_time() - began < 0.5


def test_a_long_quoted_text_leaves_nothing_of_itself() -> None:
    """Also where its end is so far away that it is not looked for."""
    assert parameterise("cannot read '" + "word isn't " * 1000 + "' now") == "cannot read <quoted>"


@settings(max_examples=500)
@given(_TEXTS)
def test_any_text(text: str) -> None:
    """It is short and of one line, has no digit, fits every encoding, and stays as it is the second time."""
    once = parameterise(text)
    assert len(once) <= LONGEST
    assert not re.search(r"[\d\x00-\x1f]", once)
    once.encode()
    assert parameterise(once) == once

"""What rules leave of values and texts."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.deadletter.redaction import NO_SECRETS, NOT_SHOWN, USUAL, WITHHELD, Redaction, Secrets
from fluxora_tasks.deadletter.secretnames import SecretNames
from fluxora_tasks.deadletter.secretpatterns import EMAILS, MARK, Pattern, passes_luhn

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nq83vASNFZ4k=\n-----END RSA PRIVATE KEY-----"

#: Text -> what is left of it.
TEXTS = {
    # pairs
    "login with password=hunter2 failed": f"login with password={MARK} failed",
    "password: hunter2": f"password: {MARK}",
    "{'password': 'hunter2', 'user': 'eva'}": f"{{'password': '{MARK}', 'user': 'eva'}}",
    '{"token": "a\\"b c", "n": 1}': f'{{"token": "{MARK}", "n": 1}}',
    '"{\\"apiKey\\": \\"abc def\\"}"': f'"{{\\"apiKey\\": \\"{MARK}\\"}}"',
    "{'auth': ['eva', 'x y'], 'n': 1}": f"{{'auth': {MARK}, 'n': 1}}",
    "credentials=(('a', 'b'), 'c') and": f"credentials={MARK} and",
    "GET /x?token=abc&page=2": f"GET /x?token={MARK}&page=2",
    "Cookie: a=1; b=2\nnext: 3": f"Cookie: {MARK}\nnext: 3",
    "Authorization: Digest user=x, y\nnext": f"Authorization: {MARK}\nnext",
    "Login(user='eva', pwd=b'secret bytes')": f"Login(user='eva', pwd=b'{MARK}')",
    "token='never closed\nnext": f"token='{MARK}\nnext",
    "PIN = 1234": f"PIN = {MARK}",
    # no pairs
    "password is None: password=None": "password is None: password=None",
    "KeyError: 'token'": "KeyError: 'token'",
    "TokenError: expired": "TokenError: expired",
    "author: eva, keyword=x": "author: eva, keyword=x",
    "Traceback (most recent call last):": "Traceback (most recent call last):",
    "at 12:30:45, in a::b": "at 12:30:45, in a::b",
    # by their look
    f"sent {JWT} away": f"sent {MARK} away",
    "Bearer abcdef123456 refused": f"Bearer {MARK} refused",
    "Basic ZXZhOmh1bnRlcjI= refused": f"Basic {MARK} refused",
    "basic functionality of bearer instruments": "basic functionality of bearer instruments",
    "redis://eva:hunter2@db:6379/0": f"redis://eva:{MARK}@db:6379/0",
    "amqp://:hunter2@mq//": f"amqp://:{MARK}@mq//",
    "http://host:8080/path?mail=a@b.de": "http://host:8080/path?mail=a@b.de",
    f"key {KEY} end": f"key {MARK} end",
    "-----BEGIN PRIVATE KEY-----\nabc": MARK,
    "card 4111 1111 1111 1111 12/28": f"card {MARK} 12/28",
    "card 4111 1111 1111 1111 123": f"card {MARK} 123",
    "card 4111-1111-1111-1111.": f"card {MARK}.",
    "amex 378282246310005": f"amex {MARK}",
    "order 4111111111111112": "order 4111111111111112",
    "at 1718000000000 ms": "at 1718000000000 ms",
    "AKIAIOSFODNN7EXAMPLE": MARK,
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": MARK,
    "sk_live_abcdefghijklmnop": MARK,
    "xoxb-123456789012-abcdef": MARK,
    "eva@example.org": "eva@example.org",
    "task-id 0d7a5f4e-1111-4111-8111-111111111111": "task-id 0d7a5f4e-1111-4111-8111-111111111111",
}  # fmt: skip


@pytest.mark.parametrize(("text", "left"), TEXTS.items())
def test_texts(text: str, left: str) -> None:
    """Secrets go, the words around them stay."""
    assert USUAL.text(text) == left


@pytest.mark.parametrize(
    "value",
    ["hunter-2000", "pä\"ss' wörd", "line one of it\nline two of it", "tab\tand\\slash", "a/b?c d%20"],
)
def test_a_secret_value_is_hidden_under_every_spelling(value: str) -> None:
    """As it is, as repr, as JSON, in a URL, and with its lines apart."""
    secrets = USUAL.secrets_in([("password", value, ())])
    for spelled in (value, repr(value)[1:-1], ascii(value)[1:-1], json.dumps(value)[1:-1]):
        assert USUAL.text(f"it was {spelled}!", secrets) == f"it was {MARK}!"
    assert value.splitlines()[-1] not in USUAL.text("\n  | ".join(value.splitlines()), secrets)


def test_what_is_in_every_text_is_not_looked_for() -> None:
    """Short values, small numbers and everyday words would erase the texts; under their names they are hidden."""
    values = ["abc", 1234, "1234", True, None, "None", "admin", "test", ""]
    assert USUAL.secrets_in([("password", value, ()) for value in values]) == NO_SECRETS
    assert USUAL.value({"password": "abc", "pin": 1234, "secret": None, "token": True}) == {
        "password": MARK, "pin": MARK, "secret": None, "token": True,
    }  # fmt: skip


def test_everything_below_a_secret_name_is_secret() -> None:
    """Lists and mappings too; what kombu writes about a type is not."""
    value = {"user": "eva-marie", "keys": ["first-key", {"__type__": "bytes-type", "__value__": "second-key"}]}
    found = USUAL.secrets_in([("credentials", value, ())])
    assert set(found.values) == {"eva-marie", "first-key", "second-key"}
    assert USUAL.value({"a": [{"credentials": value}]}) == {"a": [{"credentials": MARK}]}


def test_paths() -> None:
    """From the root downwards, a star for one level, without regard to case."""
    rules = Redaction(paths=[("kwargs", "customer", "name"), ("kwargs", "orders", "*", "note"), ("kwargs", "x", "1")])
    value = {"Customer": {"name": "Eva", "id": 7}, "orders": [{"note": "n", "n": 1}], "x": ["a", "b"], "name": "stays"}
    assert rules.value(value, paths=rules.paths_from("kwargs")) == {
        "Customer": {"name": MARK, "id": 7}, "orders": [{"note": MARK, "n": 1}], "x": ["a", MARK], "name": "stays",
    }  # fmt: skip


def test_own_patterns_and_emails() -> None:
    """Beside the usual ones, also over several lines."""
    rules = Redaction(patterns=[Pattern("staff", re.compile(r"P-\d{6}")), EMAILS])
    assert rules.text("P-123456 wrote to eva.m@example.org\npwd=x") == f"{MARK} wrote to {MARK}\npwd={MARK}"


def test_failing_rules_let_nothing_through() -> None:
    """The text is replaced as a whole."""

    def fail(match: Any) -> str:
        raise RuntimeError

    rules = Redaction(patterns=[Pattern("broken", re.compile("x"), replace=fail)])
    assert rules.text("a text with x") == NOT_SHOWN
    assert USUAL.text("anything", Secrets(complete=False)) == WITHHELD
    many = USUAL.secrets_in([("password", [f"secret-{number}" for number in range(2000)], ())])
    assert USUAL.text("anything", many) == WITHHELD


def test_views_are_bounded_and_storable() -> None:
    """Marks say what is left out; no NUL, no half of a surrogate pair, no NaN, no endless nesting."""
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    value = {
        "long": "x" * 100_000, "many": list(range(100_000)), "deep": deep, "nul": "a\x00b\ud800", "nan": float("nan"),
        "inf": float("-inf"), "big": 10**400, "keys\x00": 1,
    }  # fmt: skip
    for one in (value, dict(reversed(value.items())), {str(n): "y" * 100 for n in range(10_000)}):
        shown = USUAL.value(one)
        text = json.dumps(shown, allow_nan=False)
        assert len(text) < 40_000
        assert "\x00" not in str(shown)
        assert json.dumps(shown, ensure_ascii=False).encode()
    assert "characters]" in USUAL.value(value)["long"]


HOSTILE = [
    "a", ":", "=",
    "token=", "token=[", 'token="', 'token="\\"', "eyJ", "-eyJ", "eyJaaaaa.", "://a", "://a:", "@", "a@",
    "1 ", "4111 ", "4", "bearer ", "bearer:", "ghp_", "sk-", "SG.", "-----BEGIN PRIVATE KEY-----", "\n",
    "password: x\n", "'", "[", "a=b ", "x.y@", "AKIA", "Cookie: ", "password='\\", "\\", "token=None ", "auth=[(",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_no_text_takes_long(part: str) -> None:
    """64 KiB of anything: four times the length takes about four times as long, and at most a second."""
    rules = Redaction(patterns=[EMAILS])
    text = part * (65536 // len(part))
    began = time.process_time()
    rules.text(text)
    assert time.process_time() - began < 1.0


_words = st.text(st.characters(codec="utf-8"), max_size=30)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.from_regex(r"[A-Za-z0-9äöü'\"\\/ -]{4,24}", fullmatch=True), _words, _words, _json)
def test_no_secret_survives_in_any_text(value: str, before: str, after: str, other: Any) -> None:
    """Whatever stands around it, and wherever else in the arguments it stands."""
    secrets = USUAL.secrets_in([("password", value, ()), ("other", other, ())])
    if not secrets.values or value not in secrets.values:
        return
    assert value not in USUAL.text(before + value + after, secrets).replace(MARK, "\0")
    shown = json.dumps(USUAL.value({"password": value, "x": [value, before + value], "o": other}, secrets))
    assert json.dumps(value)[1:-1] not in shown.replace(MARK, "\0")


@given(st.text(max_size=300))
def test_no_text_raises(text: str) -> None:
    """And redacting twice changes nothing more."""
    once = USUAL.text(text)
    assert once != NOT_SHOWN
    assert USUAL.text(once) == once


@given(_json)
def test_no_value_raises(value: Any) -> None:
    """Whatever it is, JSON of any store can take what is shown of it."""
    shown = USUAL.value(value)
    assert shown != NOT_SHOWN
    json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()


def test_luhn() -> None:
    """The check digit of cards."""
    assert passes_luhn("4111 1111 1111 1111")
    assert passes_luhn("378282246310005")
    assert not passes_luhn("4111111111111112")


def test_names_of_rules_are_kept() -> None:
    """Own names and exceptions hold in values and in texts."""
    rules = Redaction(SecretNames(["customer"], ["token"]))
    assert rules.text("customer=eva token=abc") == f"customer={MARK} token=abc"
    assert rules.value({"Customer": "eva", "token": "abc"}) == {"Customer": MARK, "token": "abc"}

"""The messages (pure): the same seed gives the same ones.

Every message carries its number somewhere, as ``#7#``, so that it is found again in the ledger. None of them may run.
"""

from __future__ import annotations

import base64
import gzip
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any, Final

from fluxora_tasks.deadletter.envelope import Kind

JSON: Final = "application/json"
BODY: Final = b"[[1, 2], {}, {}]"

#: What a decodable message of the wrong form may be called.
_MISSHAPEN: Final = frozenset({Kind.NOT_A_TASK, Kind.BAD_ARGUMENTS})
_UNDECODABLE: Final = frozenset({Kind.UNDECODABLE})
_REFUSED: Final = frozenset({Kind.CONTENT_REFUSED})
#: Random bytes may be a number by chance; a content type may be refused before the body is looked at.
_GARBLED: Final = frozenset({Kind.UNDECODABLE, Kind.NOT_A_TASK, Kind.CONTENT_REFUSED})


@dataclass(frozen=True)
class Odd:
    """One message.

    Attributes:
        sort: Name of its sort.
        kinds: What it may be recorded as.
        raw: Redis only: what is pushed to the list; the other fields mean nothing then.
    """

    sort: str = ""
    kinds: frozenset[Kind] = _GARBLED
    body: bytes = BODY
    content_type: str | None = JSON
    content_encoding: str | None = "utf-8"
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes | None = None


class Bomb:
    """Writes its process id to a file when it is unpickled, and becomes 1."""

    def __init__(self, marker: Path) -> None:
        self._code = f"__import__('os').system('echo '+str(__import__('os').getpid())+' >> {marker}') + 1"

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (self._code,)


class Maker:
    """Makes one message of each sort in turn.

    Args:
        marker: File that an unpickled bomb writes to.
        amqp: For RabbitMQ, which carries fewer types in headers; else for Redis.
    """

    def __init__(self, seed: int, marker: Path, *, amqp: bool) -> None:
        self._random, self._marker, self._amqp = Random(seed), marker, amqp
        sorts = [*_SORTS, *([] if amqp else _ENVELOPES)]
        self._sorts = {sort.__name__.strip("_"): sort for sort in sorts}

    def messages(self, count: int) -> Iterator[Odd]:
        """So many messages."""
        for number, (name, sort) in enumerate(islice(cycle(self._sorts.items()), count)):
            yield replace(sort(self, number), sort=name)

    # -- ingredients ------------------------------------------------------------------------------------------------

    def task(self, number: int, **headers: Any) -> dict[str, Any]:
        """Headers of a task message with an id of its own."""
        return {"task": "echo", "id": f"odd-{number}", "mark": f"#{number}#", **headers}

    def bytes(self, longest: int = 200) -> bytes:
        """Random bytes."""
        return self._random.randbytes(self._random.randrange(1, longest))

    def one_of(self, *options: Any) -> Any:
        """One of them."""
        return self._random.choice(options)

    def between(self, low: int, high: int) -> int:
        """A number."""
        return self._random.randrange(low, high)

    # -- any broker -------------------------------------------------------------------------------------------------

    def _random_bytes(self, number: int) -> Odd:
        return Odd(body=self.bytes() + b"#%d#" % number, headers=self.task(number))

    def _random_bytes_without_headers(self, number: int) -> Odd:
        return Odd(body=b"\xff" + self.bytes() + b"#%d#" % number, content_type=self.one_of(JSON, None, "", "x"))

    def _truncated_json(self, number: int) -> Odd:
        whole = json.dumps([[number, f"#{number}#"], {"key": "välue" * 20}, {"callbacks": None}]).encode()
        cut = self.between(1, len(whole) - 1)
        return Odd(kinds=_UNDECODABLE, body=whole[:cut], headers=self.task(number))

    def _other_shape(self, number: int) -> Odd:
        body = self.one_of(
            *("[]", "{}", "null", "7", '"abc"', "[[], {}]", "[1, 2, 3, 4]", "true", "[[], [], {}]", "[{}, {}, {}]"),
            *('[[], {}, "x"]', "[[], {}, [1]]", "[null, null, null]", "[[], 7, {}]", '["ab", {}, {}]'),
            *('[[], {}, {"callbacks": 7}]', '[[], {}, {"chain": "x"}]', '[[], {}, {"chord": [1]}]'),
            '[[], {}, {"errbacks": {}}]',
        )
        return Odd(kinds=_MISSHAPEN, body=body.encode(), headers=self.task(number))

    def _not_a_task(self, number: int) -> Odd:
        body = json.dumps({"hello": f"#{number}#", "task": self.one_of(None, 7, [], {})}).encode()
        kinds = _MISSHAPEN | {Kind.UNKNOWN_TASK}
        return Odd(kinds=kinds, body=body, headers=self.one_of({}, {"other": "header"}))

    def _wrong_type_in_header(self, number: int) -> Odd:
        name, values = self.one_of(*_WRONG_HEADERS.items())
        wrong = {"fx_message_id": f"odd-{number}", name: self.one_of(*values)}
        kinds = {Kind.UNKNOWN_TASK, Kind.NOT_A_TASK} if name == "task" else _MISSHAPEN
        return Odd(kinds=frozenset(kinds), headers=self.task(number, **wrong))

    def _unknown_task(self, number: int) -> Odd:
        name = self.one_of("nobody", "a" * 5000, "\x00", "naïve.täsk", "../../etc/passwd", "'; DROP TABLE x; --", " ")
        return Odd(kinds=frozenset({Kind.UNKNOWN_TASK}), headers=self.task(number, task=name))

    def _wrong_arguments(self, number: int) -> Odd:
        body = json.dumps([self.one_of([], [1], [1, 2, 3]), self.one_of({}, {"third": 3}), {}]).encode()
        headers = self.task(number, task="two_arguments")
        return Odd(kinds=frozenset({Kind.BAD_ARGUMENTS}), body=body, headers=headers)

    def _huge_header(self, number: int) -> Odd:
        size = self.between(10_000, 60_000)
        huge = self.one_of("x" * size, "ü" * (size // 2), ["y" * 100] * (size // 200), {"z" * 100: "z" * size})
        return Odd(kinds=_MISSHAPEN, body=b"[]", headers=self.task(number, huge=huge))

    def _many_headers(self, number: int) -> Odd:
        many = {f"header-{index}": index for index in range(self.between(100, 1000))}
        return Odd(kinds=_MISSHAPEN, body=b"[]", headers=self.task(number, **many))

    def _pickle(self, number: int) -> Odd:
        body = pickle.dumps([[Bomb(self._marker), f"#{number}#"], {}, {}])
        content_type = self.one_of("application/x-python-serialize", "pickle", "application/pickle")
        headers = self.one_of(self.task(number), {})
        kinds = _REFUSED if content_type == "application/x-python-serialize" else _GARBLED
        return Odd(kinds=kinds, body=body, content_type=content_type, content_encoding="binary", headers=headers)

    def _pickle_called_json(self, number: int) -> Odd:
        body = pickle.dumps([Bomb(self._marker), f"#{number}#"])
        return Odd(kinds=_UNDECODABLE, body=body, headers=self.task(number))

    def _foreign_content_type(self, number: int) -> Odd:
        content_type = self.one_of(
            *("text/csv", "image/png", "application/xml", "application/x-yaml", "application/x-msgpack", "a" * 200),
            *("text/plain", "application/octet-stream", "application/vnd.fluxora.dead-letter+json", "json;x", "\x00"),
        )
        body = self.one_of(b"a;b;c", b"<a/>", b"\x93\x01\x02", b"!!python/object/apply:os.abort []", BODY)
        return Odd(kinds=_GARBLED, body=body, content_type=content_type, headers=self.task(number))

    def _foreign_encoding(self, number: int) -> Odd:
        encoding = self.one_of("no-such-codec", "utf-16", "base64", "rot13", "x" * 100, "idna", "zlib")
        return Odd(kinds=_GARBLED | _MISSHAPEN, body=b"\xff\xfe" + BODY, content_encoding=encoding,
                   headers=self.task(number))  # fmt: skip

    def _deep_body(self, number: int) -> Odd:
        opening = self.one_of(b"[", b'{"a":')
        deep = opening * self.between(2_000, 20_000)
        closing = self.one_of(b"", b"]" * len(deep)) if opening == b"[" else b""
        return Odd(kinds=_GARBLED | _MISSHAPEN, body=deep + closing, headers=self.task(number))

    def _deep_header(self, number: int) -> Odd:
        deep: Any = "x"
        for _ in range(self.between(20, 100) if self._amqp else self.between(50, 900)):
            deep = [deep] if self.one_of(True, False) else {"d": deep}
        return Odd(kinds=_GARBLED | _MISSHAPEN, body=b"[]", headers=self.task(number, deep=deep))

    def _nul(self, number: int) -> Odd:
        headers = self.task(number, nul="a\x00b", **{"n\x00m": "\x00" * 10})
        body = self.one_of(b"\x00" * 50, b'["\\u0000"]', b"[[\x00], {}, {}]", b'{"\\u0000": "\\u0000"}')
        return Odd(body=body, kinds=_GARBLED | _MISSHAPEN, headers=headers)

    def _surrogates(self, number: int) -> Odd:
        body = self.one_of(b'["\\ud800", "\\udfff"]', b'{"\\ud800": 1}', b'[["\\ud83d"], [], {}]', b'"\xed\xa0\x80"')
        headers = (
            self.task(number) if self._amqp else self.task(number, lone=self.one_of("\ud800", {"\udfff": "\ud800"}))
        )
        return Odd(body=body, kinds=_GARBLED | _MISSHAPEN, headers=headers)

    def _surrogate_in_header(self, number: int) -> Odd:
        """On RabbitMQ they cannot be sent as text."""
        name = self.one_of("id", "task", "root_id", "lang", "fx_message_id", "group", "argsrepr")
        value: Any = f"\xed\xa0{number}".encode("latin-1") if self._amqp else f"\ud800{number}"
        kinds = frozenset({Kind.NOT_A_TASK, Kind.UNKNOWN_TASK})
        body = b"[]" if self._amqp else BODY
        return Odd(kinds=kinds, body=body, headers=self.task(number, **{name: value}))

    def _absurd_number(self, number: int) -> Odd:
        body = self.one_of(b"1e999", b"-Infinity", b"NaN", b"9" * 5000, b"[[NaN], [1e400], {}]", b"-0", b"0.1e-5000")
        header = self.one_of(2**62, -(2**62), 1.7e308, 5e-324) if self._amqp else self.one_of(10**400, 1e308, -(2**80))
        kinds = _GARBLED | _MISSHAPEN
        return Odd(kinds=kinds, body=body, headers=self.task(number, absurd=header, fx_replay_no=header))

    def _corrupt_compression(self, number: int) -> Odd:
        whole = gzip.compress(BODY * 10)
        body = self.one_of(b"not compressed", whole[:-9], b"", whole[:5] + b"\x00\xff" + whole[7:])
        compression = self.one_of("application/x-gzip", "application/x-bz2", "gzip", "no/such", "")
        return Odd(kinds=_GARBLED | _MISSHAPEN, body=body, headers=self.task(number, compression=compression))

    def _header_of_ours(self, number: int) -> Odd:
        name, values = self.one_of(*_OUR_HEADERS.items())
        return Odd(kinds=_MISSHAPEN, body=b"[]", headers=self.task(number, **{name: self.one_of(*values)}))

    def _bytes_in_header(self, number: int) -> Odd:
        mark = f"\xff\x00{number}"
        value: Any = self.one_of(mark.encode("latin-1"), b"") if self._amqp else self.one_of(mark, "")
        name = self.one_of("id", "task", "lang", "origin", "eta", "fx_message_id", "fx_dead_id", "argsrepr")
        return Odd(
            kinds=_GARBLED | _MISSHAPEN | {Kind.UNKNOWN_TASK}, body=b"[]", headers=self.task(number, **{name: value})
        )

    def _odd_property(self, number: int) -> Odd:
        properties = self.one_of(
            {"reply_to": "x" * 200, "correlation_id": "\x00"},
            {"message_id": "é" * 100, "type": "t" * 200, "app_id": "'\"<>"},
            {"expiration": "100000000"} if self._amqp else {"expiration": "soon"},
            {"priority": 9},
        )
        return Odd(kinds=_MISSHAPEN, body=b"[]", headers=self.task(number), properties=properties)

    # -- envelopes of kombu on Redis --------------------------------------------------------------------------------

    def _raw_bytes(self, number: int) -> Odd:
        return Odd(raw=self.bytes() + b"#%d#" % number)

    def _truncated_envelope(self, number: int) -> Odd:
        whole = json.dumps({"mark": f"#{number}#", **self._envelope(number)}).encode()
        return Odd(raw=whole[: self.between(20, len(whole) - 1)])

    def _no_envelope(self, number: int) -> Odd:
        mark = f"#{number}#"
        return Odd(raw=json.dumps(self.one_of([mark], mark, {"mark": mark}, [[mark]], {mark: None})).encode())

    def _missing_part(self, number: int) -> Odd:
        envelope = self._envelope(number)
        del envelope[self.one_of("body", "headers", "properties", "content-type")]
        return self._misshapen_envelope({**envelope, "mark": f"#{number}#"})

    def _wrong_type_in_envelope(self, number: int) -> Odd:
        name = self.one_of("body", "headers", "properties", "content-type", "content-encoding")
        wrong = {name: self.one_of(7, None, [], {}, True, [[]], "text", -1.5)}
        return self._misshapen_envelope({**self._envelope(number), "mark": f"#{number}#", **wrong})

    def _broken_base64(self, number: int) -> Odd:
        body = self.one_of("!!!!", "A", "AAA", "W1tdLCB7fSwge31d=", "\u00e4", "=" * 10, "#")
        return self._misshapen_envelope({**self._envelope(number), "body": body})

    def _wrong_property(self, number: int) -> Odd:
        envelope = self._envelope(number)
        name = self.one_of("body_encoding", "delivery_info", "delivery_tag", "delivery_mode", "priority")
        envelope["properties"][name] = self.one_of(7, [], {}, "rot13", True, 10**30)
        return self._misshapen_envelope(envelope)

    def _deep_envelope(self, number: int) -> Odd:
        depth = self.between(1_000, 5_000)
        return Odd(raw=b'{"mark": "#%d#", "body": %s' % (number, b"[" * depth + b"]" * self.one_of(depth, 0) + b"}"))

    def _envelope_not_utf8(self, number: int) -> Odd:
        whole = json.dumps(self._envelope(number)).encode()
        return Odd(raw=whole.replace(b"odd-", self.one_of(b"\xff", b"\xed\xa0\x80", b"\xc0\x80")))

    def _envelope(self, number: int) -> dict[str, Any]:
        return envelope_of(Odd(body=b"[]", headers=self.task(number)), f"tag-{number}")

    @staticmethod
    def _misshapen_envelope(envelope: dict[str, Any]) -> Odd:
        return Odd(kinds=frozenset(Kind), raw=json.dumps(envelope).encode())


def envelope_of(odd: Odd, tag: str) -> dict[str, Any]:
    """A message as kombu writes it for Redis."""
    return {
        "body": base64.b64encode(odd.body).decode(),
        "content-type": odd.content_type,
        "content-encoding": odd.content_encoding,
        "headers": dict(odd.headers),
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "delivery_mode": 2,
            "delivery_tag": tag,
            "priority": 0,
            **odd.properties,
        },
    }


_MOMENTS: Final = ("0001-01-01T00:00:00+23:59", "whenever", 7, [], {}, "9999-12-31T00:00:00", "2026-13-45", "", -1.5)
_TEXTS: Final = (7, [], {"a": 1}, True, 1.5)

_WRONG_HEADERS: Final[Mapping[str, tuple[Any, ...]]] = {
    "id": (7, None, [], {}, "", True),
    "task": (7, [], {}, True, 1.5),
    "timelimit": ("ab", [1], [1, 2, 3], 5, {"a": 1}, ["x", None], [-1, None]),
    "eta": _MOMENTS,
    "expires": _MOMENTS,
    "retries": ("x", -1, 1.5, [], {}, True, 2**62),
    "group_index": ("x", -1, 1.5, [], {}, True, 2**62),
    "ignore_result": ("yes", 2, [], {}),
    "stamped_headers": (7, [1], {}, "x"),
    "stamps": (7, [], "x"),
    "lang": _TEXTS,
    "origin": _TEXTS,
    "argsrepr": _TEXTS,
    "kwargsrepr": _TEXTS,
    "root_id": _TEXTS,
    "parent_id": _TEXTS,
    "group": _TEXTS,
    "shadow": _TEXTS,
}

_OUR_HEADERS: Final[Mapping[str, tuple[Any, ...]]] = {
    "fx_message_id": ("", 0, [], {}, None, False),
    "fx_dead_id": ("", 0, None, [], {}),
    "fx_replay_no": ("x", -1, 2**40, [], {}, None, 1.5, True),
    "fx_publish_id": (7, [], {}, "\x00"),
    "fx_first_attempt_at": ("never", 7, [], {}),
    "fx_garbage": (True, "x"),
}

_Sort = Callable[[Maker, int], Odd]

_ENVELOPES: Final[tuple[_Sort, ...]] = (
    Maker._raw_bytes,
    Maker._truncated_envelope,
    Maker._no_envelope,
    Maker._missing_part,
    Maker._wrong_type_in_envelope,
    Maker._broken_base64,
    Maker._wrong_property,
    Maker._deep_envelope,
    Maker._envelope_not_utf8,
)

_SORTS: Final[tuple[_Sort, ...]] = (
    Maker._random_bytes,
    Maker._random_bytes_without_headers,
    Maker._truncated_json,
    Maker._other_shape,
    Maker._not_a_task,
    Maker._wrong_type_in_header,
    Maker._unknown_task,
    Maker._wrong_arguments,
    Maker._huge_header,
    Maker._many_headers,
    Maker._pickle,
    Maker._pickle_called_json,
    Maker._foreign_content_type,
    Maker._foreign_encoding,
    Maker._deep_body,
    Maker._deep_header,
    Maker._nul,
    Maker._surrogates,
    Maker._surrogate_in_header,
    Maker._absurd_number,
    Maker._corrupt_compression,
    Maker._header_of_ours,
    Maker._bytes_in_header,
    Maker._odd_property,
)

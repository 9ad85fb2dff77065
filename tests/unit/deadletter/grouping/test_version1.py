"""From facts to a fingerprint."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxora_tasks.deadletter.envelope import Kind
from fluxora_tasks.deadletter.fingerprint import Fingerprint
from fluxora_tasks.deadletter.grouping import (
    ErrorFacts,
    FailureFacts,
    Grouping,
    Rule,
    explain,
    fingerprint_of,
    fingerprint_of_letter,
)
from tests.letters import letter

PAY = "shop.pay:Till.charge"


def failure(type_: str = "builtins.TypeError", message: str = "", **more: Any) -> FailureFacts:
    """An exception raised in ``PAY``."""
    facts: dict[str, Any] = {
        "kind": Kind.EXCEPTION, "task": "shop.charge", "queue": "shop", "frame": PAY,
        "errors": (ErrorFacts(type_, message),), "types": (type_,),
    }  # fmt: skip
    return FailureFacts(**{**facts, **more})


@pytest.mark.parametrize(
    ("facts", "step", "parts"),
    [
        # a type of its own says enough
        (failure(message="17"), "frame", ("type=builtins.TypeError", f"at={PAY}", "task=shop.charge")),
        # a generic one needs its text
        (
            failure("builtins.ValueError", "no price for 17"),
            "frame",
            ("type=builtins.ValueError", f"at={PAY}", "message=no price for <int>", "task=shop.charge"),
        ),
        # likewise where nobody knows where it was raised
        (
            failure(message="no 17", frame=""),
            "message",
            ("type=builtins.TypeError", "message=no <int>", "task=shop.charge"),
        ),
        # what a server or a database answered stands for the text
        (
            failure("builtins.RuntimeError", "x", status="status=503"),
            "frame",
            ("type=builtins.RuntimeError", f"at={PAY}", "status=503", "task=shop.charge"),
        ),
        # a group is what is in it
        (
            failure("builtins.ExceptionGroup", "2 errors", types=("a.A", "b.B")),
            "frame",
            ("type=a.A", "type=b.B", f"at={PAY}", "task=shop.charge"),
        ),
        # how often it was tried makes no other group
        (
            failure(kind=Kind.RETRIES_EXHAUSTED),
            "frame",
            ("type=builtins.TypeError", f"at={PAY}", "task=shop.charge"),
        ),
        (FailureFacts(Kind.EXTERNAL, text="by 3"), "message", ("message=by <int>",)),
        (FailureFacts(Kind.EXTERNAL), "message", ("kind=external",)),
    ],
)
def test_exceptions(facts: FailureFacts, step: str, parts: tuple[str, ...]) -> None:
    """By type and place; by text only where these say too little."""
    assert fingerprint_of(facts) == Fingerprint(step, parts)


@pytest.mark.parametrize(
    ("kind", "more", "parts"),
    [
        (Kind.UNKNOWN_TASK, {}, ("task=shop.charge",)),
        (
            Kind.UNDECODABLE,
            {"content_type": "application/json; charset=x", "types": ("json.JSONDecodeError",),
             "errors": (ErrorFacts("json.JSONDecodeError", "Expecting value: line 1 column 2"),)},
            ("content=application/json", "type=json.JSONDecodeError",
             "message=Expecting value: line <int> column <int>"),
        ),
        (Kind.NOT_A_TASK, {"text": "names no task"}, ("message=names no task",)),
        (Kind.EXPIRED, {}, ("task=shop.charge", "queue=shop")),
        (Kind.REVOKED, {}, ("task=shop.charge", "queue=shop")),
        (Kind.DEADLINE, {}, ("task=shop.charge", "queue=shop")),
        (Kind.WORKER_LOST, {"detail": "signal=SIGKILL"}, ("task=shop.charge", "signal=SIGKILL")),
        (Kind.POISON_SUSPECT, {}, ("task=shop.charge",)),
        (Kind.SOFT_TIME_LIMIT, {"frame": PAY}, ("task=shop.charge", f"at={PAY}")),
        (Kind.HARD_TIME_LIMIT, {}, ("task=shop.charge",)),
        (Kind.BREAKER_TIMEOUT, {"detail": "breaker=api"}, ("breaker=api",)),
        (Kind.BROKER_DLQ, {"detail": "reason=maxlen"}, ("queue=shop", "reason=maxlen")),
        (Kind.DELIVERY_LIMIT, {}, ("task=shop.charge", "queue=shop")),
    ],
)  # fmt: skip
def test_other_kinds(kind: Kind, more: dict[str, Any], parts: tuple[str, ...]) -> None:
    """By what tells failures of that kind apart."""
    found = fingerprint_of(FailureFacts(kind, "shop.charge", "shop", **more))
    assert found == Fingerprint(str(kind), (f"kind={kind}", *parts))


def test_every_kind_is_grouped() -> None:
    """No two kinds that are no exceptions share a group."""
    kinds = [fingerprint_of(FailureFacts(kind)) for kind in Kind]
    others = [found.group_id for found in kinds if found.step != "message"]
    assert len(set(others)) == len(others)


def test_a_thousand_failures_are_one_group_and_two_call_sites_two() -> None:
    """Whatever ids, times and URLs their messages have."""
    texts = [f"no price for {n} at 2026-11-23T10:{n % 60:02}:00Z, see https://shop/{n}" for n in range(1000)]
    here = {fingerprint_of(failure("builtins.ValueError", text)).group_id for text in texts}
    there = {fingerprint_of(failure("builtins.ValueError", text, frame="shop.pay:refund")).group_id for text in texts}
    assert (len(here), len(there), len(here | there)) == (1, 1, 2)


def test_the_task_joins_in_unless_told_otherwise() -> None:
    """One failure in two tasks is two groups, or one."""
    for by_task, groups in ((True, 2), (False, 1)):
        grouping = Grouping(by_task=by_task)
        assert len({fingerprint_of(failure(task=task), grouping).group_id for task in ("a", "b")}) == groups


def test_the_first_rule_that_matches_decides() -> None:
    """Before the hook, and that before everything else."""
    rules = (
        Rule("elsewhere", task="other.*"),
        Rule("declined {bank} {1} {task}", "shop.*", "PayError", re.compile(r"declined by (?P<bank>\S+)"), "bank"),
        Rule("anything", exception="*"),
    )
    declined = failure("shop.PayError", "x", errors=(ErrorFacts("a.B"), ErrorFacts("shop.PayError", "declined by 17")))
    found = fingerprint_of(declined, Grouping(rules))
    assert found == Fingerprint("rule", ("rule=bank", "key=declined <int> <int> shop.charge"))
    assert fingerprint_of(failure(hook=("x",)), Grouping(rules)).parts == ("key=anything",)
    assert fingerprint_of(failure(hook=("tenant", "a")), Grouping()).parts == ("custom=tenant", "custom=a")


def test_texts_of_a_message_are_redacted() -> None:
    """After their values are gone, wherever they become a part."""
    grouping = Grouping((Rule("{1}", message=re.compile("^rule (.*)")),), redact=lambda text: text.replace("hush", "*"))
    for facts in (
        failure("builtins.ValueError", "hush 1"),
        failure("builtins.ValueError", "rule hush"),
        failure(hook=("hush",)),
        FailureFacts(Kind.NOT_A_TASK, text="hush", content_type="hush"),
    ):
        assert "hush" not in " ".join(fingerprint_of(facts, grouping).parts)


def test_a_letter_alone_has_a_fingerprint() -> None:
    """Its own, else one of what it tells."""
    old = letter(exception_type="shop.PayError", message="no 17")
    assert fingerprint_of_letter(old).parts == ("type=shop.PayError", "message=no <int>", "task=demand.ingest")
    own = Fingerprint("hook", ("custom=x",))
    assert fingerprint_of_letter(letter(fingerprint=own)) is own


@pytest.mark.parametrize(
    ("kind", "message", "part"),
    [
        (Kind.WORKER_LOST, "Worker exited prematurely: signal 9 (SIGKILL) Job: 3.", "signal=SIGKILL"),
        (Kind.WORKER_LOST, "Worker exited prematurely: signal 63 Job: 3.", "signal=63"),
        (Kind.WORKER_LOST, "Worker exited prematurely: exitcode 5 Job: 3.", "exit=5"),
        (Kind.BREAKER_TIMEOUT, "circuit api is OPEN; ask again in 3.0 s", "breaker=api"),
        (Kind.BREAKER_TIMEOUT, "circuit 'the api' is still HALF_OPEN after 3 deferrals, 4 s in all", "breaker=the api"),
        (Kind.BROKER_DLQ, "maxlen: queue was full, in queue demand", "reason=maxlen"),
    ],
)
def test_a_text_tells_what_a_kind_compares(kind: Kind, message: str, part: str) -> None:
    """As billiard, circuits and the broker word it."""
    assert part in fingerprint_of_letter(letter(kind=kind, message=message)).parts


def test_why_this_group() -> None:
    """From the stored step and parts alone."""
    assert explain(fingerprint_of(failure("builtins.ValueError", "no price for 17"))) == [
        ("Grouped by", "the error and the function that raised it"),
        ("Error", "builtins.ValueError"),
        ("Raised in", PAY),
        ("Text without values", "no price for <int>"),
        ("Task", "shop.charge"),
        ("Rules", "version 1"),
    ]
    assert explain(Fingerprint("worker_lost", ("kind=worker_lost", "bare"), 7)) == [
        ("Grouped by", "what ended it: worker_lost"), ("Kind", "worker_lost"), ("Part", "bare"), ("Rules", "version 7"),
    ]  # fmt: skip


_TEXT = st.text(max_size=50)


@given(
    st.sampled_from(Kind), _TEXT, _TEXT, st.lists(st.builds(ErrorFacts, _TEXT, _TEXT), max_size=3),
    st.lists(_TEXT, max_size=3), _TEXT, _TEXT, _TEXT, st.lists(_TEXT, max_size=2),
)  # fmt: skip
def test_any_facts_have_a_group(
    kind: Kind, task: str, queue: str, errors: list[ErrorFacts], types: list[str], frame: str, status: str,
    text: str, hook: list[str],
) -> None:  # fmt: skip
    """With parts that are short and fit every encoding and database."""
    facts = FailureFacts(
        kind, task, queue, tuple(errors), tuple(types), frame, status, text=text, content_type=text, hook=tuple(hook)
    )
    found = fingerprint_of(facts)
    assert found.parts
    assert all(len(part) <= 220 and not re.search(r"[\x00-\x1f\ud800-\udfff]", part) for part in found.parts)
    assert len(explain(found)) == len(found.parts) + 2

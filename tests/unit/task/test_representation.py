"""What logs and events say about arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from celery import Celery

from fluxora_tasks.deadletter.redaction import NOT_SHOWN, USUAL, Redaction
from fluxora_tasks.deadletter.secretpatterns import MARK
from fluxora_tasks.install import install
from fluxora_tasks.task.parameters import parameters_of
from fluxora_tasks.task.representation import representations


@dataclass
class Login:
    user: str
    password: str


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}), (None, None), (("day", 3, None, 1.5), {"region": "GB"}), ([1], {"author": "eva", "token": None}),
        (({"deep": [1, {"x": "y"}]},), {"when": date(2026, 1, 1), "keys": {"a", "b"}}),
    ],
)  # fmt: skip
def test_arguments_without_secrets_are_left_to_celery(args: Any, kwargs: Any) -> None:
    """Nothing is said in its place."""
    assert representations(args, kwargs, ("a", "b"), USUAL) == {}


@pytest.mark.parametrize(
    ("args", "kwargs", "shown"),
    [
        (("eva", "s3cr3t"), {"again": "s3cr3t"}, (f"('eva', '{MARK}')", f"{{'again': '{MARK}'}}")),
        (["eva"], {"password": "s3cr3t"}, ("['eva']", f"{{'password': '{MARK}'}}")),
        (("eva",), {"x": {"db": {"pwd": 12}}}, ("('eva',)", f"{{'x': {{'db': {{'pwd': '{MARK}'}}}}}}")),
        ((), {"x": "redis://u:pw@host/0"}, ("()", f"{{'x': 'redis://u:{MARK}@host/0'}}")),
        ((Login("eva", "pw"),), {}, (f"(Login(user='eva', password='{MARK}'),)", "{}")),
        ((Hostile(),), {"token": "s3cr3t"}, None),
    ],
)
def test_arguments_with_secrets(args: Any, kwargs: Any, shown: tuple[str, str] | None) -> None:
    """By the names of parameters and keys, by their look, and wherever the value comes again."""
    found = representations(args, kwargs, ("user", "token"), USUAL)
    if shown is not None:
        assert (found["argsrepr"], found["kwargsrepr"]) == shown
    assert "s3cr3t" not in str(found)


def test_a_long_argument_is_not_cut_before_it_is_looked_at() -> None:
    """Celery cuts at 1024 characters, which would leave half of a secret."""
    token = "ghp_" + "a1" * 20
    for filler in range(950, 1030, 7):
        found = representations(("x" * filler + " " + token,), {}, (), USUAL)
        assert "ghp_" not in found["argsrepr"]


def test_failing_rules_show_nothing() -> None:
    """And sending goes on."""

    class Broken(Redaction):
        def names_a_secret(self, *_: Any) -> bool:
            raise RuntimeError

    assert representations((), {"a": 1}, (), Broken()) == {"argsrepr": NOT_SHOWN, "kwargsrepr": NOT_SHOWN}


def test_names_of_parameters() -> None:
    """Without ``self`` and keywords, through what wraps a body; unknown ones are nobody's fault."""
    app = Celery("app", set_as_current=False)

    @app.task(bind=True, autoretry_for=(KeyError,))
    def bound(self: Any, user: str, token: str = "", *secrets: str, flag: bool = False, **rest: Any) -> None: ...

    @app.task
    def plain(user: str, /, other: int) -> None: ...

    assert parameters_of(bound) == ("user", "token", "*secrets")
    assert parameters_of(plain) == ("user", "other")
    assert parameters_of(object()) == ()


def test_a_sender_says_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where there is something to hide, and never in the place of what the sender says itself."""
    app = Celery("app", broker="memory://", set_as_current=False)
    sent: list[dict[str, Any]] = []
    install(app)

    @app.task(name="login")
    def login(user: str, token: str) -> None: ...

    def create(*args: Any, **options: Any) -> Any:
        sent.append(options)
        raise InterruptedError

    monkeypatch.setattr(type(app.amqp), "create_task_message", property(lambda self: create))
    for send in (
        lambda: login.delay("eva", "s3cr3t"),
        lambda: app.send_task("login", ("eva",), {"token": "s3cr3t"}),
        lambda: login.apply_async(("eva", "s3cr3t"), argsrepr="(…)"),
        lambda: app.send_task("unknown", ("eva", "s3cr3t")),
    ):
        with pytest.raises(InterruptedError):
            send()
    assert [(one.get("argsrepr"), one.get("kwargsrepr")) for one in sent] == [
        (f"('eva', '{MARK}')", "{}"),
        ("('eva',)", f"{{'token': '{MARK}'}}"),
        ("(…)", "{}"),
        (None, None),
    ]

"""Which code is the application's."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fluxora_tasks.task.application_code import frame_of, is_application

HERE = __name__


def raised_by(body: Callable[[], Any]) -> BaseException:
    try:
        body()
    except Exception as error:
        return error
    raise AssertionError


class Till:
    def pay(self) -> None:
        raise ValueError

    @staticmethod
    def parse() -> None:
        json.loads("{")


def decorated(body: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(body)
    def wrapper() -> Any:
        return body()

    return wrapper


@decorated
def behind_a_decorator() -> None:
    raise ValueError


def closure() -> Callable[[], None]:
    def inner() -> None:
        raise ValueError

    return inner


@pytest.mark.parametrize(
    ("body", "function"),
    [
        (Till().pay, "Till.pay"),
        (Till.parse, "Till.parse"),  # not the library beneath it
        (behind_a_decorator, "behind_a_decorator"),
        (closure(), "closure.<locals>.inner"),
        (lambda: 1 / 0, "<lambda>"),
        (lambda: exec("1 / 0", {}), "<lambda>"),  # code of no module: where it was executed
        (lambda: exec("1 / 0", globals()), "<module>"),
    ],
)
def test_the_innermost_function_of_the_application(body: Callable[[], Any], function: str) -> None:
    """By module and qualified name."""
    assert frame_of(raised_by(body).__traceback__) == f"{HERE}:{function}"


def test_it_stays_when_lines_move(tmp_path: Path) -> None:
    """The same function in another line of another file is the same."""
    found = set()
    for directory, blank in (("a", ""), ("b", "\n" * 40)):
        (tmp_path / directory).mkdir()
        path = tmp_path / directory / "shop.py"
        path.write_text(f"{blank}def charge():\n    raise ValueError\n")
        module = ModuleType("shop_that_moves")
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
        found.add(frame_of(raised_by(module.charge).__traceback__))
    assert found == {"shop_that_moves:charge"}


def test_without_a_frame_of_the_application_the_innermost_counts() -> None:
    """And without any frame there is none."""
    error = raised_by(Till.parse)
    traceback = error.__traceback__
    assert traceback is not None
    assert traceback.tb_next is not None
    assert frame_of(traceback.tb_next.tb_next) == "json.decoder:JSONDecoder.raw_decode"
    assert frame_of(None) == ""


@pytest.fixture
def installed() -> Iterator[str]:
    """A loaded module in site-packages."""
    module = ModuleType("their_shop")
    module.__spec__ = type(sys.__spec__)("their_shop", None, origin="/venv/lib/python3.11/site-packages/their_shop.py")
    sys.modules["their_shop"] = module
    yield "their_shop"
    del sys.modules["their_shop"]


@pytest.mark.parametrize(
    ("module", "file", "expected"),
    [
        (HERE, __file__, True),
        ("__main__", "/app/run.py", True),
        ("shop.not_loaded", "/app/shop/not_loaded.py", True),
        ("json.decoder", json.decoder.__file__, False),
        ("os", "<frozen os>", False),
        ("pytest", pytest.__file__, False),
        ("celery.app.trace", "/app/celery/app/trace.py", False),  # an editable install of it
        ("fluxora_tasks.task.base", "/app/fluxora_tasks/task/base.py", False),
        ("not_loaded", "/venv/lib/python3.11/site-packages/not_loaded.py", False),
        ("not_loaded_either", "C:\\venv\\Lib\\site-packages\\x.py", False),
        (None, "<string>", False),
        ("", "", False),
    ],
)
def test_whose_code_it_is(module: str | None, file: str, expected: bool) -> None:
    """By where the module comes from."""
    assert is_application(module, file) is expected


def test_the_package_of_the_task_is_the_application(installed: str) -> None:
    """Wherever it is installed."""
    assert not is_application(installed, "")
    assert is_application(installed, "", own=installed)
    assert not is_application("celery.chord", "", own="celery")

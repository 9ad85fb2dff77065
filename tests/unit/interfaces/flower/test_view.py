"""What a list is asked for, and the way through its pages."""

from __future__ import annotations

import pytest

from fluxora_tasks.interfaces.flower.view import ListView, detail_view, list_view
from tests.unit.interfaces.flower.fakes import detail, summary


@pytest.mark.parametrize(
    ("status", "filter", "effective"),
    [
        ("", "", ""),
        ("", "task:a", "task:a"),
        ("FAILED", "", "status:FAILED"),
        ("FAILED", "task:a kind:expired", "task:a kind:expired status:FAILED"),
        ("GONE", "task:a", "task:a"),  # no such status
    ],
)
def test_the_chosen_status_joins_the_filter(status: str, filter: str, effective: str) -> None:
    """A tab narrows what the filter finds."""
    assert list_view(filter=filter, status=status, cursor="", before=()).effective_filter == effective


def test_the_way_back_is_the_way_there() -> None:
    """Newer undoes Older, page by page, back to the newest."""
    first = ListView(filter="task:a", status="PENDING")
    second = first.older("c2")
    third = second.older("c3")
    assert third.newer() == second
    assert second.newer() == first
    assert third.query() == [
        ("status", "PENDING"),
        ("filter", "task:a"),
        ("cursor", "c3"),
        ("before", ""),
        ("before", "c2"),
    ]
    assert first.query() == [("status", "PENDING"), ("filter", "task:a")]


def test_a_cursor_without_its_way_leads_back_to_the_newest() -> None:
    """A link that was cut short still leads somewhere."""
    assert ListView(cursor="c9").newer() == ListView()


def test_the_way_is_bounded() -> None:
    """The address does not grow for ever."""
    view = ListView()
    for number in range(200):
        view = view.older(f"c{number}")
    assert len(view.before) == 40


@pytest.mark.parametrize(
    ("status", "possible"),
    [
        ("PENDING", ("replay", "resolve", "discard")),
        ("FAILED", ("replay", "resolve", "discard")),
        ("RETRYING", ()),
        ("RESOLVED", ()),
        ("DISCARDED", ()),
    ],
)
def test_actions_follow_the_status(status: str, possible: tuple[str, ...]) -> None:
    """A button is there where the action makes sense."""
    assert detail_view(detail(summary(status=status))).possible == possible


def test_empty_facts_are_left_out() -> None:
    """A message without a task has no task id to show."""
    names = [name for name, _ in detail_view(detail(summary(task_id=""), worker="")).facts]
    assert "Task id" not in names
    assert "Worker" not in names
    assert "Queue" in names

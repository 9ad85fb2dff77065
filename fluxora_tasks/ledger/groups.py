"""Groups of like failures: what each counts, and what people said of it [sqlalchemy].

A record is counted in one group, that of its newest failure, under its status. Everything that changes a record says
what that changes in the counts; the rows of groups are locked last, in the order of their ids, and only for the rest
of the transaction.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, select, true, update

from fluxora_tasks.ledger import aliases
from fluxora_tasks.ledger.audits import Columns, group_columns, said_by
from fluxora_tasks.ledger.cursors import comes_after, read_cursor, write_cursor
from fluxora_tasks.ledger.models import AnyRow, GroupRow, table_of
from fluxora_tasks.ledger.records import Group, GroupPage, Requester, Verdict
from fluxora_tasks.ledger.rows import (
    MESSAGE_LENGTH,
    NAME_LENGTH,
    Entry,
    as_json,
    group_of,
    storable,
)
from fluxora_tasks.ledger.standing import Status
from fluxora_tasks.ledger.statements import EachRow, among, insert_new
from fluxora_tasks.ledger.trail import write

#: A failure whose worker's clock is this far behind still counts as one after the group was resolved.
CLOCKS_DIFFER: Final = timedelta(minutes=1)

_row = GroupRow
_COUNTED: Final = tuple(status.value.lower() for status in Status)

#: What a group shows of its newest failure.
FOLLOWING: Final = ("last_failed_at", "kind", "task", "exception_type", "message")

#: Where a record is counted; ``None``: nowhere.
Place = tuple[str | None, Status] | None


@dataclass(slots=True)
class GroupNews:
    """What a transaction changes in one group.

    Attributes:
        counts: Records more or fewer, by status.
        newest: Its newest failure among those of the transaction, if there are any.
    """

    counts: Counter[Status] = field(default_factory=Counter)
    failures: int = 0
    first: datetime | None = None
    newest: Entry | None = None


class Changes:
    """Changes of counts, gathered while records change."""

    def __init__(self) -> None:
        self.groups: dict[str, GroupNews] = defaultdict(GroupNews)

    def move(self, before: Place, after: Place) -> None:
        """A record is counted elsewhere."""
        if before == after:
            return
        for place, step in ((before, -1), (after, 1)):
            if place is not None and place[0] is not None:
                self.groups[place[0]].counts[place[1]] += step

    def failed(self, entry: Entry) -> None:
        """One more failure."""
        group_id = group_of(entry.letter)
        if group_id is None:
            return
        news, moment = self.groups[group_id], entry.letter.failed_at
        news.failures += 1
        news.first = moment if news.first is None else min(news.first, moment)
        if news.newest is None or news.newest.letter.failed_at <= moment:
            news.newest = entry


def apply(connection: Connection, changes: Changes, now: datetime) -> None:
    """Write the changes, make groups that are new, and note those that failed again after they were resolved."""
    news = {group_id: changes.groups[group_id] for group_id in sorted(changes.groups)}
    failing = {key: item for key, item in news.items() if item.newest is not None}
    heads = _made_known(connection, failing, now) if failing else {}
    # in one order, and nothing is made after it: two of these never wait for each other
    rows = locked(connection, {*news, *heads.values()})
    _count(connection, {key: item for key, item in news.items() if key in rows})
    newest = _newest_of_each(failing, heads)
    followers = {head for key, head in heads.items() if head != key}
    _follow(connection, {head: entry for head, entry in newest.items() if head in followers})
    regressed = [head for head, entry in newest.items() if failed_since(rows[head], entry.letter.failed_at)]
    regress(connection, regressed, now)


def _made_known(connection: Connection, news: Mapping[str, GroupNews], now: datetime) -> dict[str, str]:
    """Who each of these groups stands under, once those that are new are made; it stays so in this transaction."""
    aliases.hold(connection)
    heads = aliases.known(connection, news)
    _make(connection, {key: item for key, item in news.items() if key not in heads}, now)
    return {key: heads.get(key, key) for key in news}


def _newest_of_each(failing: Mapping[str, GroupNews], heads: Mapping[str, str]) -> dict[str, Entry]:
    """The newest failure of each group; that of an alias is its head's."""
    newest: dict[str, Entry] = {}
    for key, item in failing.items():
        head, entry = heads[key], item.newest
        assert entry is not None
        if head not in newest or newest[head].letter.failed_at <= entry.letter.failed_at:
            newest[head] = entry
    return newest


def failed_since(row: AnyRow, failed_at: datetime) -> bool:
    """Whether a failure came after its group was resolved."""
    return bool(row.state == "resolved" and failed_at > row.state_at - CLOCKS_DIFFER)


def locked(connection: Connection, ids: Iterable[str]) -> dict[str, AnyRow]:
    """The rows of groups, locked in the order of their ids until the transaction ends."""
    wanted = list(ids)
    if not wanted:
        return {}
    columns = (_row.id, _row.state, _row.state_at, _row.last_failed_at, _row.merged_into)
    query = select(*columns).where(among(connection, _row.id, wanted)).order_by(_row.id).with_for_update()
    return {found.id: found for found in connection.execute(query)}


def _make(connection: Connection, news: Mapping[str, GroupNews], now: datetime) -> None:
    rows = [_new_columns(group_id, item, now) for group_id, item in news.items()]
    made = insert_new(connection, table_of(_row), "id", rows)
    write(
        connection,
        [group_columns(now, row["id"], "new", None, "open") for row in rows if row["id"] in made],
    )


def _new_columns(group_id: str, news: GroupNews, now: datetime) -> Columns:
    assert news.newest is not None
    assert news.newest.letter.fingerprint is not None
    fingerprint = news.newest.letter.fingerprint
    return {
        "id": group_id,
        "state": "open",
        "version": 1,
        "fingerprint_version": fingerprint.version,
        "step": storable(fingerprint.step, 32),
        "parts": as_json([storable(part, NAME_LENGTH) for part in fingerprint.parts]),
        "state_at": now,
        "first_failed_at": news.newest.letter.failed_at,
        "failures": 0,
        "regressions": 0,
        "actor": "",
        "reason": "",
        **dict.fromkeys(_COUNTED, 0),
        **_shown(news.newest),
    }


def _shown(entry: Entry) -> Columns:
    """What a group shows of its newest failure."""
    return {
        "last_failed_at": entry.letter.failed_at,
        "kind": entry.texts["kind"],
        "task": storable(entry.letter.task, NAME_LENGTH),
        "exception_type": entry.texts["exception_type"],
        "message": entry.texts["message"][:MESSAGE_LENGTH],
    }


def _count(connection: Connection, news: Mapping[str, GroupNews]) -> None:
    """Add what each group counts; what it shows follows its newest failure."""
    moved, told = [], []
    for key, item in news.items():
        counts = {f"add_{name}": item.counts[Status(name.upper())] for name in _COUNTED}
        if item.newest is None:
            moved.append({"group": key, **counts})
        else:
            told.append(
                {"group": key, **counts, "add_failures": item.failures, "first": item.first, **_newly(item.newest)}
            )
    _MOVE.run(connection, moved)
    _TELL.run(connection, told)


def _follow(connection: Connection, newest: Mapping[str, Entry]) -> None:
    """What heads show follows the newest failure of their aliases."""
    _SHOW.run(connection, [{"group": key, **_newly(newest[key])} for key in sorted(newest)])


def _newly(entry: Entry) -> Columns:
    return {f"new_{name}": value for name, value in _shown(entry).items()}


def _added(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(_row, name) + given[f"add_{name}"] for name in names}


def _later(given: Mapping[str, Any]) -> dict[str, Any]:
    is_newer = given["new_last_failed_at"] >= _row.last_failed_at
    return {name: case((is_newer, given[f"new_{name}"]), else_=getattr(_row, name)) for name in FOLLOWING}


def _types(prefix: str, names: Iterable[str]) -> dict[str, Any]:
    return {f"{prefix}_{name}": getattr(_row, name).type for name in names}


_GIVEN_COUNTS: Final = {"group": _row.id.type, **_types("add", _COUNTED)}
_GIVEN_FAILURE: Final = _types("new", FOLLOWING)
_MOVE: Final = EachRow(
    table_of(_row), _GIVEN_COUNTS, lambda given: (_row.id == given["group"], _added(given, _COUNTED))
)
_SHOW: Final = EachRow(
    table_of(_row),
    {"group": _row.id.type, **_GIVEN_FAILURE},
    lambda given: (_row.id == given["group"], _later(given)),
)
_TELL: Final = EachRow(
    table_of(_row),
    {**_GIVEN_COUNTS, **_GIVEN_FAILURE, "add_failures": _row.failures.type, "first": _row.first_failed_at.type},
    lambda given: (
        _row.id == given["group"],
        {
            **_added(given, (*_COUNTED, "failures")),
            **_later(given),
            "first_failed_at": case(
                (given["first"] < _row.first_failed_at, given["first"]), else_=_row.first_failed_at
            ),
        },
    ),
)


def regress(connection: Connection, ids: Sequence[str], now: datetime) -> None:
    """Note that resolved groups failed again."""
    if not ids:
        return
    connection.execute(
        update(_row)
        .where(_row.id.in_(ids))
        .values(state="regressed", state_at=now, version=_row.version + 1, regressions=_row.regressions + 1)
    )
    write(connection, [group_columns(now, group_id, "regressed", "resolved", "regressed") for group_id in ids])


#: What may be said of a group, and of which ones.
STATES: Final[Mapping[str, frozenset[str]]] = {
    "acknowledged": frozenset({"open", "regressed"}),
    "ignored": frozenset({"open", "regressed", "acknowledged", "resolved"}),
    "resolved": frozenset({"open", "regressed", "acknowledged", "ignored"}),
    "open": frozenset({"acknowledged", "ignored", "resolved"}),
}


def set_state(connection: Connection, ids: Sequence[str], state: str, by: Requester, *, now: datetime) -> list[Verdict]:
    """Say of groups where they stand; one verdict per id, in the order given. An alias stands for its head."""
    aliases.hold(connection)
    heads = aliases.known(connection, ids)
    rows = locked(connection, heads.values())
    verdicts = [_state_verdict(group_id, rows.get(heads.get(group_id, group_id)), state) for group_id in ids]
    done = dict.fromkeys(heads.get(verdict.id, verdict.id) for verdict in verdicts if verdict.outcome == "done")
    changed = [rows[group_id] for group_id in done]
    if changed:
        said = said_by(by)
        connection.execute(
            update(_row)
            .where(_row.id.in_([row.id for row in changed]))
            .values(version=_row.version + 1, state=state, state_at=now, actor=said["actor"], reason=said["reason"])
        )
        event = "reopened" if state == "open" else state
        write(connection, [group_columns(now, row.id, event, row.state, state, **said) for row in changed])
    return verdicts


def _state_verdict(group_id: str, row: AnyRow | None, state: str) -> Verdict:
    if row is None:
        return Verdict(group_id, "unknown", None, f"no group has the id {group_id!r}")
    if row.state not in STATES[state]:
        return Verdict(group_id, "refused", row.state, f"is {row.state} already, or cannot become {state}")
    return Verdict(group_id, "done", state, f"was {row.state}")


_GROUP: Final = tuple(getattr(_row, name) for name in Group.__slots__ if name != "merged")

#: What a group adds up over its aliases.
_SUMMED: Final = (*_COUNTED, "failures")


def page(connection: Connection, states: Sequence[str], *, limit: int, cursor: str | None) -> GroupPage:
    """One page of groups in any of these states (none: in any), newest failure first.

    Raises:
        ConfigurationError: the cursor is none of ours.
    """
    condition = and_(_row.merged_into.is_(None), _row.state.in_(states) if states else true())
    query = select(*_GROUP).where(condition).order_by(_row.last_failed_at.desc(), _row.id.desc())
    if cursor is not None:
        query = query.where(comes_after(_row.last_failed_at, _row.id, read_cursor(cursor)))
    found = _groups_of(connection, connection.execute(query.limit(limit + 1)).all())
    total = connection.execute(select(func.count()).select_from(_row).where(condition)).scalar_one()
    following = write_cursor(found[limit - 1].last_failed_at, found[limit - 1].id) if len(found) > limit else None
    return GroupPage(found[:limit], total, following)


def starting_with(connection: Connection, prefix: str) -> list[Group]:
    """The group of this id, or at most two whose ids begin so; an alias leads to its head."""
    ids = aliases.ids_starting_with(connection, prefix, limit=2, of_heads=True)
    query = select(*_GROUP).where(_row.id.in_(ids)).order_by(_row.id)
    return _groups_of(connection, connection.execute(query).all())


def _groups_of(connection: Connection, rows: Sequence[AnyRow]) -> list[Group]:
    """Groups with what their aliases count."""
    columns = [getattr(_row, name) for name in (*_SUMMED, "first_failed_at")]
    merged = aliases.members(connection, [row.id for row in rows], *columns)
    return [_group_of(row, merged.get(row.id, [])) for row in rows]


def _group_of(row: AnyRow, merged: Sequence[AnyRow]) -> Group:
    whole = (row, *merged)
    columns = dict(row._mapping) | {name: sum(getattr(one, name) for one in whole) for name in _SUMMED}
    columns["first_failed_at"] = min(one.first_failed_at for one in whole)
    parts = [str(part) for part in json.loads(row.parts)]
    return Group(**{**columns, "parts": parts, "merged": [one.id for one in merged]})

"""Saying that groups are one, and taking it back [sqlalchemy]."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select, update

from fluxora_tasks.errors import ConflictError
from fluxora_tasks.ledger import aliases, groups
from fluxora_tasks.ledger.audits import group_columns, said_by
from fluxora_tasks.ledger.models import AnyRow, DeadLetterRow, GroupRow
from fluxora_tasks.ledger.records import Requester, Verdict
from fluxora_tasks.ledger.statements import among
from fluxora_tasks.ledger.trail import write

#: What the audit calls the state of an alias.
MERGED: Final = "merged"

_row = GroupRow


def merge(connection: Connection, ids: Sequence[str], into: str, by: Requester, *, now: datetime) -> list[Verdict]:
    """
    Make groups aliases of another, with what was merged into them before; one verdict per id, in the order given.

    Raises:
        ConflictError: the other one is gone, or became an alias meanwhile.
    """
    aliases.change(connection)
    rows = groups.locked(connection, [*ids, into, *_aliases_of(connection, ids)])
    head = rows.get(into)
    if head is None or head.merged_into is not None:
        raise ConflictError(f"group {into} was merged meanwhile; nothing was done, look again")
    verdicts = [_merge_verdict(group_id, rows.get(group_id), into) for group_id in ids]
    merged = [verdict.id for verdict in verdicts if verdict.outcome == "done"]
    moved = [row for row in rows.values() if row.id in merged or row.merged_into in merged]
    if moved:
        _point(connection, [row.id for row in moved], into)
        said = {**said_by(by), "detail": into}
        write(connection, [group_columns(now, row.id, MERGED, _state(row), MERGED, **said) for row in moved])
        _take_over(connection, head, [rows[group_id] for group_id in merged], now)
    return verdicts


def unmerge(connection: Connection, ids: Sequence[str], by: Requester, *, now: datetime) -> list[Verdict]:
    """Make aliases groups of their own again, as they stood; one verdict per id, in the order given."""
    aliases.change(connection)
    rows = groups.locked(connection, [*ids, *aliases.known(connection, ids).values()])
    verdicts = [_unmerge_verdict(group_id, rows.get(group_id)) for group_id in ids]
    parted = [rows[verdict.id] for verdict in verdicts if verdict.outcome == "done"]
    if parted:
        _point(connection, [row.id for row in parted], None)
        said = said_by(by)
        write(
            connection,
            [
                group_columns(now, row.id, "unmerged", MERGED, row.state, **said, detail=row.merged_into)
                for row in parted
            ],
        )
        groups.regress(connection, [row.id for row in parted if groups.failed_since(row, row.last_failed_at)], now)
        for head in sorted({row.merged_into for row in parted}):
            _show_anew(connection, head)
    return verdicts


def _aliases_of(connection: Connection, ids: Sequence[str]) -> list[str]:
    return [row.id for found in aliases.members(connection, ids).values() for row in found]


def _point(connection: Connection, ids: Sequence[str], into: str | None) -> None:
    connection.execute(
        update(_row).where(among(connection, _row.id, ids)).values(merged_into=into, version=_row.version + 1)
    )


def _state(row: AnyRow) -> str:
    return str(row.state) if row.merged_into is None else MERGED


def _take_over(connection: Connection, head: AnyRow, merged: Sequence[AnyRow], now: datetime) -> None:
    """The head shows the newest failure of them all, and has regressed by one that came after it was resolved."""
    newest = max(merged, key=lambda row: row.last_failed_at)
    if newest.last_failed_at > head.last_failed_at:
        _show(connection, head.id, connection.execute(select(*_columns(_row)).where(_row.id == newest.id)).one())
    if groups.failed_since(head, newest.last_failed_at):
        groups.regress(connection, [head.id], now)


def _show_anew(connection: Connection, head: str) -> None:
    """What a head shows once an alias is gone: the newest failure among the records it still has."""
    whole = [head, *_aliases_of(connection, [head])]
    found = [row for group_id in whole if (row := _newest_record(connection, group_id)) is not None]
    if found:
        _show(connection, head, max(found, key=lambda row: row.last_failed_at))


def _newest_record(connection: Connection, group_id: str) -> AnyRow | None:
    record = DeadLetterRow
    order = (record.last_failed_at.desc(), record.id.desc())
    query = select(*_columns(record)).where(record.group_id == group_id).order_by(*order).limit(1)
    return connection.execute(query).one_or_none()


def _columns(of: Any) -> list[Any]:
    return [getattr(of, name) for name in groups.FOLLOWING]


def _show(connection: Connection, group_id: str, found: AnyRow) -> None:
    shown = {name: getattr(found, name) for name in groups.FOLLOWING}
    connection.execute(update(_row).where(_row.id == group_id).values(shown))


def _merge_verdict(group_id: str, row: AnyRow | None, into: str) -> Verdict:
    if row is None:
        return _unknown(group_id)
    if group_id == into:
        return Verdict(group_id, "refused", row.state, "cannot be merged into itself")
    if row.merged_into is not None:
        return Verdict(group_id, "refused", MERGED, f"is merged into {row.merged_into} already")
    return Verdict(group_id, "done", MERGED, f"is one with {into} now")


def _unmerge_verdict(group_id: str, row: AnyRow | None) -> Verdict:
    if row is None:
        return _unknown(group_id)
    if row.merged_into is None:
        return Verdict(group_id, "refused", row.state, "is merged into no other group")
    return Verdict(group_id, "done", row.state, f"was one with {row.merged_into}")


def _unknown(group_id: str) -> Verdict:
    return Verdict(group_id, "unknown", None, f"no group has the id {group_id!r}")

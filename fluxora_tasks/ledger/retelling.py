"""What may be shown of records that are told anew [sqlalchemy]: of another failure, or of another message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, select

from fluxora_tasks.ledger.models import DeadLetterRow, DeadLetterViewRow, table_of
from fluxora_tasks.ledger.rows import Entry
from fluxora_tasks.ledger.statements import EachRow, among, insert_new
from fluxora_tasks.ledger.views import read_view, view_columns


def retell(connection: Connection, kept: Mapping[str, Entry | None]) -> None:
    """Write the views of records anew, whose rows are written already.

    Args:
        kept: By record, the failure whose message is kept from now on; ``None``: that of before.
    """
    record, row = DeadLetterRow, DeadLetterViewRow
    columns = (record.id, record.message, record.exception_type, record.task, record.task_id, row.view)
    joined = select(*columns).outerjoin(row, row.dead_letter_id == record.id).where(among(connection, record.id, kept))
    told = []
    for found in connection.execute(joined):
        entry = kept[found.id]
        view = read_view(found.view) if entry is None else entry.letter.view
        texts = {"message": found.message, "exception_type": found.exception_type}
        told.append(view_columns(found.id, view, texts, {"task": found.task, "task_id": found.task_id}))
    made = insert_new(connection, table_of(row), "dead_letter_id", told)
    rest = [columns for columns in told if columns["dead_letter_id"] not in made]
    _RETELL.run(
        connection,
        [{"record": it["dead_letter_id"], "new_view": it["view"], "new_text": it["search_text"]} for it in rest],
    )


_view: Final = DeadLetterViewRow
_RETELL: Final = EachRow(
    table_of(_view),
    {"record": _view.dead_letter_id.type, "new_view": _view.view.type, "new_text": _view.search_text.type},
    lambda given: (
        _view.dead_letter_id == given["record"],
        {"view": given["new_view"], "search_text": given["new_text"]},
    ),
)

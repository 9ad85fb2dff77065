"""Events for other programs, as rows (pure): written in the transaction of the change they tell of.

Names: message.dead · replaying · resolved · failed_again · reopened · discarded · restored · quarantined · released ·
purged · unconfirmed · lost; group.new · regressed · acknowledged · ignored · resolved · reopened · merged · unmerged;
operation.planned · running · paused · completed · cancelled · aborted; retention.purge_soon. They carry ids, names,
statuses and numbers, and no text of a message.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from fluxora_tasks.deadletter.identity import new_id

#: Form of ``data``.
VERSION: Final = 1

_dumps: Final = json.JSONEncoder(separators=(",", ":")).encode


def event_columns(at: datetime, event: str, subject: str, **data: Any) -> dict[str, Any]:
    """The row of one event.

    Args:
        event: Its name, see above.
        subject: Id of the record, group or operation; of what is about all records, empty.
        data: Of JSON's types.
    """
    return {
        "event_id": new_id(),
        "at": at,
        "event": event,
        "subject": subject,
        "data": _dumps({"v": VERSION, **data}),
    }

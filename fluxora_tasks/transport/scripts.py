"""The transport's Lua scripts [redis]."""

from __future__ import annotations

from fluxora_tasks.scripts import Script

TAKE = Script(__package__, "take")
MOVE = Script(__package__, "move")
DELAY = Script(__package__, "delay")
POSTPONE = Script(__package__, "postpone")
RESTORE = Script(__package__, "restore")
BEAT = Script(__package__, "beat")

"""Groups of like failures [sqlalchemy]."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from fluxora_tasks.ledger.models.base import Base, Id, Label, Name, where


class GroupRow(Base):
    """Failures with one fingerprint.

    ``state``: open · acknowledged · ignored · resolved · regressed (it failed again after somebody resolved it).
    ``step``, ``parts``: of the fingerprint; parts as a JSON list.
    ``failures``: how often it failed. ``pending`` … ``discarded``: records whose newest failure is of this group, by
    status; each record is counted in one group.
    ``message``: text of its newest failure, redacted.
    ``merged_into``: the group it is one with; it goes on counting its own records, and shows in the other one only.
    """

    __tablename__ = "dead_groups"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    state: Mapped[str] = mapped_column(String(12))
    version: Mapped[int]
    fingerprint_version: Mapped[int]
    step: Mapped[str] = mapped_column(String(32))
    state_at: Mapped[datetime]
    first_failed_at: Mapped[datetime]
    last_failed_at: Mapped[datetime]
    failures: Mapped[int] = mapped_column(BigInteger)
    pending: Mapped[int]
    retrying: Mapped[int]
    resolved: Mapped[int]
    failed: Mapped[int]
    discarded: Mapped[int]
    regressions: Mapped[int]
    kind: Mapped[str] = mapped_column(String(32))
    task: Mapped[str] = mapped_column(Name)
    exception_type: Mapped[str] = mapped_column(Name)
    actor: Mapped[str] = mapped_column(Label)
    reason: Mapped[str]
    message: Mapped[str]
    parts: Mapped[str]
    merged_into: Mapped[str | None] = mapped_column(Id)

    __table_args__ = (
        Index(None, "last_failed_at", "id"),
        Index(None, "state", "last_failed_at", "id"),
        Index("ix_dead_groups_merged", "merged_into", **where("merged_into IS NOT NULL")),
    )

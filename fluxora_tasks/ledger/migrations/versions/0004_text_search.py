"""Text search, and indexes for filters that had none.

SQLite: FTS5 over dead_letter_views.search_text, kept by triggers. PostgreSQL: a column of lexemes that the server
keeps, under a GIN index; punctuation of ASCII parts words on both, else PostgreSQL takes ``demand.ingest`` for the
name of a host.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SQLITE = (
    """
    CREATE VIRTUAL TABLE dead_letter_words USING fts5(
        search_text, content='dead_letter_views', content_rowid='seq', columnsize=0,
        tokenize='unicode61 remove_diacritics 0'
    )
    """,
    "INSERT INTO dead_letter_words (dead_letter_words) VALUES ('rebuild')",
    """
    CREATE TRIGGER dead_letter_views_inserted AFTER INSERT ON dead_letter_views BEGIN
        INSERT INTO dead_letter_words (rowid, search_text) VALUES (new.seq, new.search_text);
    END
    """,
    """
    CREATE TRIGGER dead_letter_views_deleted AFTER DELETE ON dead_letter_views BEGIN
        INSERT INTO dead_letter_words (dead_letter_words, rowid, search_text)
        VALUES ('delete', old.seq, old.search_text);
    END
    """,
    """
    CREATE TRIGGER dead_letter_views_updated AFTER UPDATE OF seq, search_text ON dead_letter_views BEGIN
        INSERT INTO dead_letter_words (dead_letter_words, rowid, search_text)
        VALUES ('delete', old.seq, old.search_text);
        INSERT INTO dead_letter_words (rowid, search_text) VALUES (new.seq, new.search_text);
    END
    """,
)

#: Signs that part words, and as many blanks.
_SIGNS = "!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~"
_POSTGRESQL = (
    f"""
    ALTER TABLE dead_letter_views ADD COLUMN words tsvector GENERATED ALWAYS AS (
        to_tsvector('simple'::regconfig, CASE WHEN search_text ~ '[!-/:-@[-`{{-~]'
            THEN translate(search_text, '{_SIGNS}', '{" " * (len(_SIGNS) - 1)}') ELSE search_text END)
    ) STORED
    """,
    "CREATE INDEX ix_dead_letter_views_words ON dead_letter_views USING gin (words)",
    # for totals: an eighth of the size of those that have the times and ids in them
    "CREATE INDEX ix_dead_letters_total ON dead_letters (status)",
)


#: Of texts that may lack words of their record: cut, or with more values than are kept.
_CUT = " OR ".join(("{octets} >= 4093", "length(search_text) - length(replace(search_text, ' ', '')) >= 500"))

_INDEXES = (
    ("ix_dead_letters_attempts", "dead_letters", ["attempts"], None),
    ("ix_dead_letters_size", "dead_letters", ["size"], None),
    ("ix_dead_letters_task_id", "dead_letters", ["task_id"], None),
    ("ix_dead_letters_failures", "dead_letters", ["failures"], "failures > 1"),
    ("ix_dead_letters_replays", "dead_letters", ["replays"], "replays > 0"),
    ("ix_dead_letters_release", "dead_letters", ["release", "last_failed_at", "id", "status"], "release <> ''"),
    ("ix_dead_letters_conflict", "dead_letters", ["last_failed_at", "id", "status"], "conflict"),
)


def upgrade() -> None:
    """Make them, over the texts that are there."""
    for statement in _SQLITE if _on_sqlite() else _POSTGRESQL:
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))
    for name, table, columns, condition in _INDEXES:
        op.create_index(name, table, columns, **_where(condition))
    op.create_index(
        "ix_dead_letter_views_cut",
        "dead_letter_views",
        ["dead_letter_id"],
        sqlite_where=sa.text(_CUT.format(octets="length(CAST(search_text AS BLOB))")),
        postgresql_where=sa.text(_CUT.format(octets="octet_length(search_text)")),
    )


def downgrade() -> None:
    """Take them away; nothing is lost but time."""
    op.drop_index("ix_dead_letter_views_cut", "dead_letter_views")
    for name, table, *_ in reversed(_INDEXES):
        op.drop_index(name, table)
    if not _on_sqlite():
        op.drop_index("ix_dead_letters_total", "dead_letters")
        op.drop_index("ix_dead_letter_views_words", "dead_letter_views")
        op.drop_column("dead_letter_views", "words")
        return
    for name in ("inserted", "deleted", "updated"):
        op.execute(f"DROP TRIGGER dead_letter_views_{name}")
    op.execute("DROP TABLE dead_letter_words")


def _where(condition: str | None) -> Any:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)} if condition else {}


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"

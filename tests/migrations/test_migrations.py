"""The schema's history leads to the models, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from fluxora_tasks.ledger import database
from fluxora_tasks.ledger.database import current_revision, head_revision, open_engine, upgrade, writing
from fluxora_tasks.ledger.models import Base
from fluxora_tasks.ledger.repository import Ledger
from tests.letters import letter

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on an empty database, once of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        url = request.getfixturevalue("database_url")
    engine = open_engine(url)
    yield engine
    engine.dispose()


def downgrade(engine: Engine) -> None:
    """All the way back."""
    config = database._config()
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")


def test_the_models_are_what_the_migrations_make(engine: Engine) -> None:
    """Nothing is left to migrate after the last revision."""
    upgrade(engine)

    with engine.connect() as connection:
        opts = {"compare_type": True, "include_object": _is_modelled}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Base.metadata) == []


def _is_modelled(_thing: object, name: str, kind: str, *_: object) -> bool:
    """The index of words, and that of totals, are made for one kind of database each."""
    of_sqlite = kind == "table" and name.startswith("dead_letter_words")
    of_postgresql = (kind, name) in (
        ("column", "words"),
        ("index", "ix_dead_letter_views_words"),
        ("index", "ix_dead_letters_total"),
    )
    return not of_sqlite and not of_postgresql


def test_up_down_up(engine: Engine) -> None:
    """Every revision can be taken back and applied again, and leaves nothing behind."""
    upgrade(engine)
    Ledger(engine).ingest([letter()])
    downgrade(engine)
    assert inspect(engine).get_table_names() == ["alembic_version"]

    upgrade(engine)

    assert Ledger(engine).ingest([letter()]).recorded == 1


def test_an_upgrade_again_changes_nothing(engine: Engine) -> None:
    """A ledger that is up to date stays so, with its records."""
    upgrade(engine)
    Ledger(engine).ingest([letter()])
    upgrade(engine)

    assert Ledger(engine).find().total == 1
    with engine.connect() as connection:
        assert current_revision(connection) == head_revision()


def test_the_history_is_one_line() -> None:
    """There is one first and one last revision."""
    scripts = ScriptDirectory.from_config(database._config())

    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1

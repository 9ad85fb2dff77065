"""The schema's history (alembic), run in process by ``ledger.database.upgrade``."""

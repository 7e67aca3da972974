"""Where a configuration stores its records."""

from pathlib import Path

from gateway.settings.tables import Settings


def spool_folder(settings: Settings) -> Path:
    return settings.data_folder / "spool"


def database_url(settings: Settings) -> str:
    """Return the URL of the configured database. Default: SQLite in the data folder."""
    return settings.records.database or f"sqlite:///{settings.data_folder / 'records.db'}"

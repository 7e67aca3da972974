"""Applies revisions in the transaction that `database.py` opened. Alembic runs this module."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()

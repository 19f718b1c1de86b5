"""Alembic's entry: runs the revisions in `versions` inside the transaction that the store has opened."""

from alembic import context

from accord.feedback.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()

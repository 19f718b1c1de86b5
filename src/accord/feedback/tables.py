"""The store's tables, for SQLite and PostgreSQL alike. Migrations make them; a test holds the two together.

Times are seconds since the epoch. Ids that people or hashes make are text; numbers that order things come from
`counters`, whose row is also the lock under which slots are taken: see `accord.feedback.store`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA = "0002"  # the newest revision in `migrations/versions`; revisions are numbered so that "newer" has a meaning
VERSION_TABLE = "accord_schema"  # kept by Alembic; a name that no other program takes

# Every constraint has a name, so that a later migration can drop it on both databases.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only under the name INTEGER


def _required(name: str, kind: type | object, *more: object) -> Column:
    return Column(name, kind, *more, nullable=False)  # type: ignore[arg-type]


counters = Table("counters", metadata, Column("name", Text, primary_key=True), _required("value", BigInteger))

segments = Table(
    "segments",
    metadata,
    Column("id", Text, primary_key=True),  # types.segment_id: the hash of the content
    _required("kind", Text),  # steps | reply | image
    _required("header", Text),  # JSON: dtype and shape of each array; all of a reply
    _required("body", LargeBinary),  # the arrays' bytes, one after the other; the header says whether compressed
)

provenance = Table(
    "provenance",
    metadata,
    Column("id", Number, primary_key=True),  # rising: the first recorded has the least
    _required("segment", Text, ForeignKey("segments.id")),
    _required("task", Text),
    _required("round", BigInteger),
    _required("policy_version", BigInteger),
    _required("seed", BigInteger),
    _required("episode", BigInteger),
    _required("start", BigInteger),
    _required("replay", LargeBinary),
    UniqueConstraint("segment", "task", "round", "policy_version", "seed", "episode", "start", name="uq_provenance"),
)

# Sealed: only teachers and evaluation read it. Apart from `segments`, so that no other reader gets it by accident.
truth = Table(
    "truth",
    metadata,
    Column("segment", Text, ForeignKey("segments.id"), primary_key=True),
    _required("header", Text),
    _required("body", LargeBinary),
)

media = Table(
    "media",
    metadata,
    Column("segment", Text, ForeignKey("segments.id"), primary_key=True),
    _required("hash", Text),  # SHA-256 of the bytes: an address that may be cached for ever
    _required("mime", Text),
    _required("bytes", LargeBinary),
    Index(None, "hash"),
)

annotators = Table(
    "annotators",
    metadata,
    Column("id", Number, primary_key=True),
    Column("name", Text, unique=True),  # null once forgotten: answers stay under the pseudonym
    _required("kind", Text),  # person | teacher
    Column("pseudonym", Text, nullable=False, unique=True),
    _required("created", Double),
)

queries = Table(
    "queries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),  # the order of asking
    _required("kind", Text),
    _required("levels", Integer),
    _required("acquisition", Text),
    _required("round", BigInteger),
    _required("overlap", Integer),
    _required("priority", Integer),  # lower is leased first: the way that the index below runs
    Column("gold", Text),  # the known value, as in `answers.value`; null: not a gold question
    Column("repeats", Text, ForeignKey("queries.id")),  # the query that this one asks again, sides swapped
    _required("status", Text),  # open | done | disputed (waits for an adjudicator); only open ones are leased
    _required("answered", Integer),  # annotators who have answered; `status` is done when it reaches `overlap`
    _required("asked", Double),
    Index(None, "status", "priority", "number"),
    Index(None, "round"),
)

query_segments = Table(
    "query_segments",
    metadata,
    Column("query", Text, ForeignKey("queries.id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    _required("segment", Text, ForeignKey("segments.id")),
    Index(None, "segment"),
)

leases = Table(
    "leases",
    metadata,
    Column("query", Text, ForeignKey("queries.id"), primary_key=True),
    Column("annotator", Number, ForeignKey("annotators.id"), primary_key=True),
    Column("token", Text, nullable=False, unique=True),
    _required("until", Double),
    Index(None, "annotator"),
)

answers = Table(
    "answers",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),  # from `counters`: rising in the order of commits
    Column("id", Text, nullable=False, unique=True),
    _required("query", Text, ForeignKey("queries.id")),
    _required("annotator", Number, ForeignKey("annotators.id")),
    _required("value", Text),  # JSON, tagged with the kind of value
    _required("shown", Text),  # JSON
    _required("seconds", Double),
    _required("text", Text),
    Column("supersedes", Text, ForeignKey("answers.id"), unique=True),  # unique: an answer is superseded once
    # 0 for an annotator's first answer to a query; one more than what it supersedes. Negative: forgotten, and the slot
    # is free again.
    _required("revision", Integer),
    _required("received", Double),
    # The database itself refuses a second vote: a changed mind is the next revision of the first.
    UniqueConstraint("query", "annotator", "revision", name="uq_answers_slot"),
)

# Who did what: appended to and never changed. Each hash covers its row and the hash before it (`audit.py`).
events = Table(
    "events",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),  # from `counters`
    _required("at", Double),
    _required("actor", Text),  # a pseudonym; "" for whoever has the machine
    _required("what", Text),
    _required("about", Text),
    _required("hash", Text),
)

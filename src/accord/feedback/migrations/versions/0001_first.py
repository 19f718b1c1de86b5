"""The first schema: segments, provenance, truth, media, annotators, queries, leases, answers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.bulk_insert(counters, [{"name": "answers", "value": 0}, {"name": "queries", "value": 0}])
    _segments()
    _queries()
    _answers()


def _segments() -> None:
    op.create_table(
        "segments",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("header", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_segments"),
    )
    op.create_table(
        "provenance",
        sa.Column("id", number, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("round", sa.BigInteger, nullable=False),
        sa.Column("policy_version", sa.BigInteger, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("episode", sa.BigInteger, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("replay", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_provenance"),
        sa.ForeignKeyConstraint(["segment"], ["segments.id"], name="fk_provenance_segment"),
        sa.UniqueConstraint(
            "segment", "task", "round", "policy_version", "seed", "episode", "start", name="uq_provenance"
        ),
    )
    op.create_table(
        "truth",
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("header", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("segment", name="pk_truth"),
        sa.ForeignKeyConstraint(["segment"], ["segments.id"], name="fk_truth_segment"),
    )
    op.create_table(
        "media",
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("mime", sa.Text, nullable=False),
        sa.Column("bytes", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("segment", name="pk_media"),
        sa.ForeignKeyConstraint(["segment"], ["segments.id"], name="fk_media_segment"),
    )
    op.create_index("ix_media_hash", "media", ["hash"])


def _queries() -> None:
    op.create_table(
        "annotators",
        sa.Column("id", number, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("pseudonym", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_annotators"),
        sa.UniqueConstraint("name", name="uq_annotators_name"),
        sa.UniqueConstraint("pseudonym", name="uq_annotators_pseudonym"),
    )
    op.create_table(
        "queries",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("levels", sa.Integer, nullable=False),
        sa.Column("acquisition", sa.Text, nullable=False),
        sa.Column("round", sa.BigInteger, nullable=False),
        sa.Column("overlap", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("gold", sa.Text),
        sa.Column("repeats", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("answered", sa.Integer, nullable=False),
        sa.Column("asked", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_queries"),
        sa.UniqueConstraint("number", name="uq_queries_number"),
        sa.ForeignKeyConstraint(["repeats"], ["queries.id"], name="fk_queries_repeats"),
    )
    op.create_index("ix_queries_status_priority_number", "queries", ["status", "priority", "number"])
    op.create_index("ix_queries_round", "queries", ["round"])
    op.create_table(
        "query_segments",
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("query", "place", name="pk_query_segments"),
        sa.ForeignKeyConstraint(["query"], ["queries.id"], name="fk_query_segments_query"),
        sa.ForeignKeyConstraint(["segment"], ["segments.id"], name="fk_query_segments_segment"),
    )
    op.create_index("ix_query_segments_segment", "query_segments", ["segment"])


def _answers() -> None:
    op.create_table(
        "leases",
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("annotator", number, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("query", "annotator", name="pk_leases"),
        sa.ForeignKeyConstraint(["query"], ["queries.id"], name="fk_leases_query"),
        sa.ForeignKeyConstraint(["annotator"], ["annotators.id"], name="fk_leases_annotator"),
        sa.UniqueConstraint("token", name="uq_leases_token"),
    )
    op.create_index("ix_leases_annotator", "leases", ["annotator"])
    op.create_table(
        "answers",
        sa.Column("seq", number, nullable=False, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("annotator", number, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("shown", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("supersedes", sa.Text),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("received", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_answers"),
        sa.UniqueConstraint("id", name="uq_answers_id"),
        sa.ForeignKeyConstraint(["query"], ["queries.id"], name="fk_answers_query"),
        sa.ForeignKeyConstraint(["annotator"], ["annotators.id"], name="fk_answers_annotator"),
        sa.ForeignKeyConstraint(["supersedes"], ["answers.id"], name="fk_answers_supersedes"),
        sa.UniqueConstraint("supersedes", name="uq_answers_supersedes"),
        sa.UniqueConstraint("query", "annotator", "revision", name="uq_answers_slot"),
    )


def downgrade() -> None:
    for table in ("answers", "leases", "query_segments", "queries", "annotators"):
        op.drop_table(table)
    for table in ("media", "truth", "provenance", "segments", "counters"):
        op.drop_table(table)

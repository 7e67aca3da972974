"""Creates the tables for exchanges and feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("time_s", sa.Float(53), nullable=False, index=True),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("intent", sa.String, nullable=False),
        sa.Column("template", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("ending", sa.String, nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("total_us", sa.BigInteger, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    for column in ("model", "intent", "template"):
        op.create_index(f"ix_exchanges_{column}_time_s", "exchanges", [column, "time_s"])
    op.create_table(
        "feedback",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("exchange", sa.String, sa.ForeignKey("exchanges.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("time_s", sa.Float(53), nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("score", sa.Float(53)),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("feedback")
    op.drop_table("exchanges")

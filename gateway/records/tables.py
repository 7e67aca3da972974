"""The tables of the database at the newest revision. A change here needs a new revision."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})

# listed fields are columns; `record` has the whole record as `schema.encode` wrote it
exchanges = Table(
    "exchanges",
    metadata,
    Column("id", String, primary_key=True),
    Column("time_s", Float(53), nullable=False, index=True),
    Column("key", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("model", String, nullable=False),
    Column("intent", String, nullable=False),
    Column("template", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("ending", String, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("total_us", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Index(None, "model", "time_s"),
    Index(None, "intent", "time_s"),
    Index(None, "template", "time_s"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("exchange", String, ForeignKey("exchanges.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("time_s", Float(53), nullable=False),
    Column("key", String, nullable=False),
    Column("score", Float(53)),
    Column("label", String, nullable=False),
    Column("comment", Text, nullable=False),
    Column("answer", Text, nullable=False),
)

# the keys that created objects which backends store, such as batches and threads
objects = Table(
    "objects",
    metadata,
    Column("id", String, primary_key=True),
    Column("key", String, nullable=False),
    Column("backend", String, nullable=False),
    Column("created", BigInteger, nullable=False),
)

"""The tables of the catalog's file, and the upgrade of files that earlier versions wrote."""

import sqlite3

from gateway.context.store import lexical
from gateway.context.store.index_text import indexed

TABLES = """
CREATE TABLE IF NOT EXISTS collections (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    active INTEGER NOT NULL,
    expires_days INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL DEFAULT '{}',
    probe BLOB NOT NULL DEFAULT x'',
    tuning TEXT NOT NULL DEFAULT '',
    chunks INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    source TEXT NOT NULL,
    file TEXT NOT NULL,
    recipe TEXT NOT NULL,
    state TEXT NOT NULL,
    attributes TEXT NOT NULL,
    title TEXT NOT NULL,
    label TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS chunks (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    id TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    heading TEXT NOT NULL,
    page INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    text TEXT NOT NULL,
    placement TEXT NOT NULL DEFAULT '',
    placed TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS attachments (
    collection TEXT NOT NULL,
    file TEXT NOT NULL,
    batch TEXT NOT NULL,
    status TEXT NOT NULL,
    error_code TEXT NOT NULL,
    error TEXT NOT NULL,
    attributes TEXT NOT NULL,
    chunking TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (collection, file)
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY,
    collection TEXT NOT NULL,
    created INTEGER NOT NULL,
    cancelled INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS part_uploads (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    lifetime_s INTEGER NOT NULL,
    status TEXT NOT NULL,
    file TEXT NOT NULL,
    part_ids TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS parts (
    id TEXT PRIMARY KEY,
    upload TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT
"""
"""`collections.chunks` is the number of chunks of live documents. Each transaction that adds or removes such chunks
updates this number. `chunks.placed` is the digest of the question whose answer is `chunks.placement`, or "" if no
model was asked.
"""

INDEXES = """
CREATE INDEX IF NOT EXISTS collections_by_name ON collections (name);
CREATE INDEX IF NOT EXISTS collections_by_owner ON collections (owner, name, created);
CREATE INDEX IF NOT EXISTS collections_expiring ON collections (active) WHERE expires_days > 0;
CREATE INDEX IF NOT EXISTS documents_by_source ON documents (collection, source);
CREATE INDEX IF NOT EXISTS documents_unfinished ON documents (collection) WHERE state != 'live';
CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks (document, start);
CREATE INDEX IF NOT EXISTS chunks_owners ON chunks (key, document);
CREATE INDEX IF NOT EXISTS parts_by_upload ON parts (upload);
CREATE INDEX IF NOT EXISTS attachments_by_file ON attachments (file);
CREATE INDEX IF NOT EXISTS attachments_waiting ON attachments (created) WHERE status = 'in_progress'
"""

VERSION = 9
"""The version of the file. Version 1 had other row numbers in the word index. Version 2 lacked the index
`chunks_owners`, and version 3 lacked the counts of common words. Version 4 lacked the number of chunks, the size of the
word index and some indexes. Version 5 lacked the labels of documents.
Version 6 lacked uploads in parts. Version 7 had other words in the word index: numbers, dates and units had other
forms. A text is removed from the index by its words, so no index may keep those of an earlier version.
Version 8 lacked the placements of chunks.
"""
SAME_WORDS = 8
"""Word indexes of this version or a later one are kept. Earlier ones are built again."""


BATCH = 1000
"""The number of texts that are indexed at a time when a file is upgraded."""


def prepare(database: sqlite3.Connection) -> None:
    """Create the tables, or upgrade the tables of an earlier version. If the file already has the current version, this
    does nothing.
    """
    database.execute("BEGIN IMMEDIATE")
    with database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version >= VERSION:
            return
        _run(database, TABLES)
        _add_chunks(database)
        _add_labels(database)
        _add_placements(database)
        _run(database, INDEXES)
        indexed = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'words%'")}
        for (id,) in database.execute("SELECT id FROM collections").fetchall():
            if version >= SAME_WORDS or f"words_{id}" not in indexed:
                continue  # a collection without an index gets it with its first text
            _index_again(database, id)
            lexical.create_counts(database, id)
            lexical.measure(database, id)
        database.execute(f"PRAGMA user_version = {VERSION}")


def _run(database: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        database.execute(statement)


def _add_chunks(database: sqlite3.Connection) -> None:
    columns = {row[1] for row in database.execute("PRAGMA table_info(collections)")}
    if "chunks" in columns:
        return
    database.execute("ALTER TABLE collections ADD COLUMN chunks INTEGER NOT NULL DEFAULT 0")
    live = "SELECT count(*) FROM documents d JOIN chunks c ON c.document = d.key WHERE d.state = 'live'"
    database.execute(f"UPDATE collections SET chunks = ({live} AND d.collection = collections.id)")


def _add_labels(database: sqlite3.Connection) -> None:
    """Add the column `label` to the documents. Documents that are stored already get the label "", since their words
    were indexed without a label.
    """
    columns = {row[1] for row in database.execute("PRAGMA table_info(documents)")}
    if "label" not in columns:
        database.execute("ALTER TABLE documents ADD COLUMN label TEXT NOT NULL DEFAULT ''")


def _add_placements(database: sqlite3.Connection) -> None:
    columns = {row[1] for row in database.execute("PRAGMA table_info(chunks)")}
    for name in ("placement", "placed"):
        if name not in columns:
            database.execute(f"ALTER TABLE chunks ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")


def _index_again(database: sqlite3.Connection, collection: str) -> None:
    lexical.drop(database, collection)
    lexical.create(database, collection)
    rows = database.execute(
        "SELECT c.key, d.label, c.heading, c.text, c.placement FROM chunks c JOIN documents d ON d.key = c.document "
        "WHERE d.collection = ?",
        (collection,),
    )
    while some := rows.fetchmany(BATCH):
        lexical.add(database, collection, ((key, indexed(*parts)) for key, *parts in some))

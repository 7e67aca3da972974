"""Searches by words. SQLite's FTS5 is the inverted index. This module itself splits texts into words and computes BM25.

Each collection has its own table, so that the rarity of a word does not depend on other collections. Chinese, Japanese
and Thai have no spaces, so each pair of neighbouring characters counts as a word.

FTS5's own `bm25` reads the length of each chunk. It also gives no weight to a word that occurs in at least half of the
chunks. In a collection of ten chunks, this is true of most words. Here BM25 is computed from the positions that FTS5
stores for each word, with an idf that is always positive. The length of a chunk is encoded in its row number in the
index. A search of 100,000 chunks takes 3 ms (`benchmarks/retrieval.py`).
"""

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gateway.context.store.chunk_owners import Owners
from gateway.context.store.words import terms_of, words_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 4
"""The version of the indexed text. It is part of the recipe of each ingested file. Increase it after a change to the
indexed text or to the splitting into words, since a search finds only words that its own version formed.
"""

ROWS = 6_000
"""The maximum number of rows of the index that a search reads. If a query needs more, its most common words are
skipped.
"""
MOST_TERMS = 48
K1, B = 1.2, 0.75
MOST_IN_TF = K1 + 1
"""The limit that the weight of a word approaches as its frequency in a chunk grows."""
LENGTH_BITS = 7
COMMON = 1_000
"""If a word occurs in at least this many chunks, their number is cached. FTS5 would otherwise read all of these chunks
to count them.
"""
MOST_REMEMBERED = 10_000
COUNTED = 10_000
"""If a collection has at least this many chunks, the counts of its common words are stored. In such a collection,
counting takes milliseconds.
"""
STALE = 0.05
"""Stored counts are renewed when the number of chunks has changed by more than this share."""
CHUNKS, WORDS = ":chunks", ":words"
"""The keys under which the table of counts stores the size of the index: its number of chunks and its number of words.
No word contains a colon.
"""

Database = sqlite3.Connection
Remembered = dict[tuple[str, str], tuple[int, int]]
"""Maps (collection, word) to the number of chunks in the collection, and the number of these chunks that contain the
word.
"""


def _lengths() -> list[int]:
    """Return the lengths of chunks, in words, that a row number can encode. These are all lengths up to 17, then
    lengths in steps of 6 % up to 10,000.
    """
    lengths = [0]
    while len(lengths) < 1 << LENGTH_BITS:
        lengths.append(max(lengths[-1] + 1, round(lengths[-1] * 1.06)))
    return lengths


LENGTHS = _lengths()


def create(database: Database, collection: str) -> None:
    """Create the tables of a collection. Call this only when the first text is added.

    SQLite reads its whole schema when it creates a table, so each table makes the creation of the next one slower.
    """
    database.execute(f"CREATE VIRTUAL TABLE words_{collection} USING fts5(words, content='', tokenize='ascii')")
    database.execute(f"CREATE VIRTUAL TABLE rarity_{collection} USING fts5vocab(words_{collection}, row)")
    database.execute(f"CREATE VIRTUAL TABLE places_{collection} USING fts5vocab(words_{collection}, instance)")
    create_counts(database, collection)


def create_counts(database: Database, collection: str) -> None:
    """Create the table of counts. The table holds the size of the index under `CHUNKS` and `WORDS`, and the number of
    chunks with each common word. Under the key "", the table holds the number of chunks at the time of counting.
    """
    table = f"counts_{collection} (term TEXT PRIMARY KEY, chunks INTEGER NOT NULL) STRICT, WITHOUT ROWID"
    database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    database.execute(f"INSERT OR IGNORE INTO counts_{collection} VALUES ('{CHUNKS}', 0), ('{WORDS}', 0)")


def measure(database: Database, collection: str) -> None:
    """Compute and store the size of an index. Earlier versions of the gateway did not store this size."""
    chunks = "SELECT count(*) FROM documents d JOIN chunks c ON c.document = d.key WHERE d.collection = ?"
    words = f"SELECT coalesce(sum(cnt), 0) FROM rarity_{collection}"
    database.execute(f"UPDATE counts_{collection} SET chunks = ({chunks}) WHERE term = '{CHUNKS}'", (collection,))
    database.execute(f"UPDATE counts_{collection} SET chunks = ({words}) WHERE term = '{WORDS}'")


def drop(database: Database, collection: str) -> None:
    for table in ("places", "rarity", "counts", "words"):
        database.execute(f"DROP TABLE IF EXISTS {table}_{collection}")


def add(database: Database, collection: str, texts: Iterable[tuple[int, str]]) -> None:
    """Add texts to the index. Each text comes with the key of its chunk."""
    if not _exists(database, collection):
        create(database, collection)
    rows = list(map(_row, texts))
    database.executemany(f"INSERT INTO words_{collection} (rowid, words) VALUES (?, ?)", rows)
    _extend(database, collection, rows, 1)


def remove(database: Database, collection: str, texts: Iterable[tuple[int, str]]) -> None:
    """Remove texts from the index. Each text must be equal to the text that was added."""
    table = f"words_{collection}"
    rows = list(map(_row, texts))
    database.executemany(f"INSERT INTO {table} ({table}, rowid, words) VALUES ('delete', ?, ?)", rows)
    _extend(database, collection, rows, -1)


def _extend(database: Database, collection: str, rows: Sequence[tuple[int, str]], sign: int) -> None:
    """Increase the stored size of the index by the rows, or decrease it if `sign` is -1. BM25 needs the size."""
    sizes = (len(rows), CHUNKS), (sum(len(words.split()) for _, words in rows), WORDS)
    for size, term in sizes:
        database.execute(f"UPDATE counts_{collection} SET chunks = chunks + ? WHERE term = ?", (sign * size, term))


def _row(text: tuple[int, str]) -> tuple[int, str]:
    words = words_of(text[1])
    return text[0] << LENGTH_BITS | _length_code(len(words)), " ".join(words)


def _length_code(words: int) -> int:
    return min(bisect_left(LENGTHS, words), len(LENGTHS) - 1)


def purge(database: Database, collection: str) -> None:
    """Rewrite the index. Otherwise the index would keep the words of removed chunks."""
    if not _exists(database, collection):
        return
    database.execute(f"INSERT INTO words_{collection} (words_{collection}) VALUES ('optimize')")
    _forget_common(database, collection)


def count(database: Database, collection: str) -> None:
    """Store the counts of the common words in a large collection. If the stored counts are recent enough, this does
    nothing.
    """
    total, _ = _extent(database, collection)
    if total < COUNTED or _counts_hold(database, collection, total):
        return
    _forget_common(database, collection)
    database.execute(
        f"INSERT INTO counts_{collection} SELECT term, doc FROM rarity_{collection} WHERE doc >= ?", (COMMON,)
    )
    database.execute(f"INSERT INTO counts_{collection} VALUES ('', ?)", (total,))


def _forget_common(database: Database, collection: str) -> None:
    database.execute(f"DELETE FROM counts_{collection} WHERE term NOT IN ('{CHUNKS}', '{WORDS}')")


def _counts_hold(database: Database, collection: str, total: int) -> bool:
    then = _stored_count(database, collection, "")
    return abs(total - then) <= STALE * then


def _exists(database: Database, collection: str) -> bool:
    """Whether a text was ever added. `sqlite_master` is not queried, since SQLite would read all of it."""
    try:
        database.execute(f"SELECT 1 FROM counts_{collection} LIMIT 0")
    except sqlite3.OperationalError as error:
        if str(error).startswith("no such table"):
            return False
        raise
    return True


def _stored_count(database: Database, collection: str, term: str) -> int:
    row = database.execute(f"SELECT chunks FROM counts_{collection} WHERE term = ?", (term,)).fetchone()
    return row[0] if row else 0


def nearest(
    database: Database,
    collection: str,
    query: str,
    limit: int,
    documents: Sequence[int] | None = None,
    remembered: Remembered | None = None,
    owners: Owners | None = None,
) -> list[tuple[int, float]]:
    """Return (key, score) for the best chunks of live documents, the best first.

    A score is BM25 divided by the limit of BM25 for the words of the query. Scores are therefore from 0 to 1. Words
    that the collection lacks count in the divisor, so they lower all scores.
    """
    import numpy as np

    total, average = _extent(database, collection)
    weighted: list[tuple[Any, Any]] = []
    most = 0.0
    room = ROWS
    for term, frequency in _rarest_first(database, collection, terms_of(query), total, remembered):
        idf = _idf(total, frequency)
        most += idf * MOST_IN_TF
        room -= frequency
        if frequency and (room >= 0 or not weighted):
            keys, gains = _gains(database, collection, term, average)
            weighted.append((keys, gains * idf))
    if not weighted or limit < 1:
        return []
    keys, gains = (np.concatenate(columns) for columns in zip(*weighted, strict=True))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    scores = np.bincount(np.cumsum(first) - 1, gains[order]) / most
    return _live(database, collection, (keys[first], scores), limit, documents, owners or Owners())


def _gains(database: Database, collection: str, term: str, average: float) -> tuple[NDArray[np.int64], Any]:
    """Return the keys of the chunks with a word, and the weight of the word in each of these chunks. The weights do not
    include the idf.

    A chunk that is shorter than the mean counts as one of mean length. Otherwise the last rows of a table, which repeat
    its titles, would rank before the row that the question is about.
    """
    import numpy as np

    # the rows come as one text, since fetching them one by one takes three times as long
    query = f"SELECT group_concat(doc) FROM places_{collection} WHERE term = ?"
    places = np.fromstring(database.execute(query, (term,)).fetchone()[0], np.int64, sep=",")  # in the rows' order
    ends = np.flatnonzero(np.concatenate([places[1:] != places[:-1], [True]]))
    rows, times = places[ends], np.diff(ends, prepend=-1)
    lengths = np.array(LENGTHS)[rows & (len(LENGTHS) - 1)]
    return rows >> LENGTH_BITS, _tf(times, np.maximum(lengths, average), average)


def _tf(times: Any, words: Any, average: float) -> Any:
    """Return the weight of a word that occurs `times` times in a chunk of `words` words. The arguments may be numbers
    or arrays.
    """
    return MOST_IN_TF * times / (times + K1 * (1 - B + B * words / average))


class Likeness(Struct, frozen=True):
    """The idf of each word of a query in a collection. It serves to score texts that are not in the collection."""

    idf: Mapping[str, float]

    def shares(self, texts: Sequence[str], average: float = 0.0) -> list[float]:
        """Return a score from 0 to 1 for each text, computed as in `nearest`.

        `average` is the mean length of a chunk in words. If it is 0, the mean length of the texts is used.
        """
        held = [words_of(text) for text in texts]
        average = average or max(1.0, sum(map(len, held)) / max(1, len(held)))
        return [self._share(words, average) for words in held]

    def _share(self, words: Sequence[str], average: float) -> float:
        length = LENGTHS[_length_code(len(words))]
        total = sum(idf * _tf(words.count(term), length, average) for term, idf in self.idf.items())
        most = sum(self.idf.values()) * MOST_IN_TF
        return total / most if most else 0.0


def likeness(database: Database, collection: str, query: str, remembered: Remembered | None = None) -> Likeness:
    total, _ = _extent(database, collection)
    terms = _rarest_first(database, collection, terms_of(query), total, remembered)
    return Likeness({term: _idf(total, frequency) for term, frequency in terms})


def _extent(database: Database, collection: str) -> tuple[int, float]:
    """Return the number of indexed chunks, and the mean length of a chunk in words."""
    if not _exists(database, collection):
        return 0, 1.0
    total, words = _stored_count(database, collection, CHUNKS), _stored_count(database, collection, WORDS)
    return total, max(1.0, words / max(1, total))


def _idf(total: int, frequency: int) -> float:
    return math.log1p((max(total, frequency) - frequency + 0.5) / (frequency + 0.5))


def _rarest_first(
    database: Database, collection: str, terms: Sequence[str], total: int, remembered: Remembered | None
) -> list[tuple[str, int]]:
    memory: Remembered = {} if remembered is None else remembered
    counted = total >= COUNTED and _counts_hold(database, collection, total)
    frequencies = []
    for term in terms[:MOST_TERMS]:
        then, frequency = memory.get((collection, term), (-1, 0)) if total else (0, 0)
        if then != total:
            frequency = _stored_count(database, collection, term) if counted else 0
            if not frequency:
                row = database.execute(f"SELECT doc FROM rarity_{collection} WHERE term = ?", (term,)).fetchone()
                frequency = row[0] if row else 0
        if frequency >= COMMON:
            if len(memory) >= MOST_REMEMBERED:
                memory.clear()
            memory[collection, term] = total, frequency
        frequencies.append((term, frequency))
    return sorted(frequencies, key=lambda pair: pair[1])


def _live(
    database: Database,
    collection: str,
    scored: tuple[NDArray[np.int64], Any],
    limit: int,
    documents: Sequence[int] | None,
    owners: Owners,
) -> list[tuple[int, float]]:
    """Return (key, score) for the best `limit` chunks of live documents. If `documents` is given, only chunks of these
    documents are returned.
    """
    keys, scores = scored
    allowed = None if documents is None else set(documents)
    best: list[tuple[int, float]] = []
    for places in _best_first(scores, limit):
        some = keys[places].tolist()
        of = owners.live(database, collection, some)
        pairs = zip(some, scores[places].tolist(), strict=True)
        best += [pair for pair in pairs if pair[0] in of and (allowed is None or of[pair[0]] in allowed)]
        if len(best) >= limit:
            break
    return best[:limit]


def _best_first(scores: Any, step: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of the scores in groups, the best first. A later group is sorted only when it is needed."""
    import numpy as np

    least = np.partition(scores, len(scores) - step)[len(scores) - step] if step < len(scores) else -np.inf
    best, rest = np.flatnonzero(scores >= least), np.flatnonzero(scores < least)
    yield best[np.argsort(-scores[best], kind="stable")]
    rest = rest[np.argsort(-scores[rest], kind="stable")]
    for first in range(0, len(rest), step):
        yield rest[first : first + step]

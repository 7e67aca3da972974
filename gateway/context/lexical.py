"""Search by words: SQLite's FTS5 as the inverted index, with words of our own making and BM25.

Each collection has a table of its own, so that what others wrote has no say in how rare a word is.
Chinese, Japanese and Thai have no spaces: there each pair of neighbouring characters is a word. FTS5's own
`bm25` gives a word that half of the chunks hold no weight at all, which in a collection of ten chunks is
most words; so it is taken apart here, and weighted with the idf that stays positive.
"""

import math
import re
import sqlite3
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

VERSION = 1
"""Part of each ingested file's recipe: words made in another way are not found."""

ROWS = 6_000
"""How many rows of the index a search reads at the most. The commonest words are left out first."""
MOST_TERMS = 48
K1, B = 1.2, 0.75
"""FTS5's own; they cannot be set."""
MOST_IN_TF = K1 + 1
"""The most that a word's frequency in a chunk can weigh."""

SPACELESS = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{SPACELESS}]+|(?:(?![{SPACELESS}])[^\W_])+")
IS_SPACELESS = re.compile(rf"[{SPACELESS}]")

# What a question is made of rather than what it is about.
STOP = frozenset(Path(__file__).with_name("stop_words.txt").read_text("utf-8").split())

Database = sqlite3.Connection


def create(database: Database, collection: str) -> None:
    database.execute(f"CREATE VIRTUAL TABLE words_{collection} USING fts5(words, content='', tokenize='ascii')")
    database.execute(f"CREATE VIRTUAL TABLE rarity_{collection} USING fts5vocab(words_{collection}, row)")


def drop(database: Database, collection: str) -> None:
    database.execute(f"DROP TABLE IF EXISTS rarity_{collection}")
    database.execute(f"DROP TABLE IF EXISTS words_{collection}")


def add(database: Database, collection: str, texts: Mapping[int, str]) -> None:
    """Index texts under their chunks' keys."""
    rows = [(key, " ".join(words_of(text))) for key, text in texts.items()]
    database.executemany(f"INSERT INTO words_{collection} (rowid, words) VALUES (?, ?)", rows)


def remove(database: Database, collection: str, texts: Mapping[int, str]) -> None:
    """Take texts out again; they must be those that were added."""
    table = f"words_{collection}"
    rows = [(key, " ".join(words_of(text))) for key, text in texts.items()]
    database.executemany(f"INSERT INTO {table} ({table}, rowid, words) VALUES ('delete', ?, ?)", rows)


def purge(database: Database, collection: str) -> None:
    """Write the index anew: until then the words of removed chunks are still in the file."""
    database.execute(f"INSERT INTO words_{collection} (words_{collection}) VALUES ('optimize')")


def nearest(
    database: Database, collection: str, query: str, limit: int, documents: Sequence[int] | None = None
) -> list[tuple[int, float]]:
    """Keys and scores of the chunks of live documents, best first.

    A score is BM25 as a share of the most that the query's words could give, so from 0 to 1: words that
    are nowhere in the collection count against every chunk.
    """
    total = _total(database, collection)
    scores: dict[int, float] = {}
    most = 0.0
    room = ROWS
    for term, frequency in _rarest_first(database, collection, terms_of(query)):
        idf = _idf(total, frequency)
        most += idf * MOST_IN_TF
        room -= frequency
        if frequency and (room >= 0 or not scores):
            # what `bm25` has multiplied with
            theirs = max(math.log((total - frequency + 0.5) / (frequency + 0.5)), 1e-6)
            rows = database.execute(
                f"SELECT rowid, -bm25(words_{collection}) FROM words_{collection} WHERE words_{collection} MATCH ?",
                (f'"{term}"',),
            )
            for key, score in rows:
                scores[key] = scores.get(key, 0.0) + score * idf / theirs
    best = sorted(((score / most, key) for key, score in scores.items()), reverse=True) if most else []
    return _live(database, best, limit, documents)


class Likeness(Struct, frozen=True):
    """What a query's words weigh in a collection, to score a text that is not in it."""

    idf: Mapping[str, float]
    average: float
    """Words in a chunk."""

    def share(self, text: str) -> float:
        """As `nearest` would score the text."""
        words = words_of(text)
        norm = K1 * (1 - B + B * len(words) / self.average)
        found = 0.0
        for term, idf in self.idf.items():
            times = words.count(term)
            found += idf * MOST_IN_TF * times / (times + norm)
        most = sum(self.idf.values()) * MOST_IN_TF
        return found / most if most else 0.0


def likeness(database: Database, collection: str, query: str, average: float) -> Likeness:
    total = _total(database, collection)
    terms = _rarest_first(database, collection, terms_of(query))
    return Likeness({term: _idf(total, frequency) for term, frequency in terms}, average)


def _total(database: Database, collection: str) -> int:
    count: int = database.execute(f"SELECT count(*) FROM words_{collection}_docsize").fetchone()[0]
    return count


def _idf(total: int, frequency: int) -> float:
    return math.log1p((max(total, frequency) - frequency + 0.5) / (frequency + 0.5))


def _rarest_first(database: Database, collection: str, terms: Sequence[str]) -> list[tuple[str, int]]:
    found = []
    for term in terms[:MOST_TERMS]:
        row = database.execute(f"SELECT doc FROM rarity_{collection} WHERE term = ?", (term,)).fetchone()
        found.append((term, row[0] if row else 0))
    return sorted(found, key=lambda pair: pair[1])


def _live(
    database: Database, best: list[tuple[float, int]], limit: int, documents: Sequence[int] | None
) -> list[tuple[int, float]]:
    """The first `limit` whose document is live, and among the wanted."""
    wanted = None if documents is None else set(documents)
    kept: list[tuple[int, float]] = []
    for score, key in best:
        row = database.execute(
            "SELECT d.key FROM chunks c JOIN documents d ON d.key = c.document WHERE c.key = ? AND d.state = 'live'",
            (key,),
        ).fetchone()
        if row and (wanted is None or row[0] in wanted):
            kept.append((key, score))
            if len(kept) == limit:
                break
    return kept


def terms_of(query: str) -> list[str]:
    """The distinct words of a query, without those that any question has, unless it has no others."""
    words = list(dict.fromkeys(words_of(query)))
    return [word for word in words if word not in STOP] or words


def words_of(text: str) -> list[str]:
    """The words of a text as they are indexed."""
    # compatibility forms (full width, ligatures) are made plain, and accents fall off
    plain = unicodedata.normalize("NFKD", text).casefold()
    if not plain.isascii():
        plain = "".join(char for char in plain if not unicodedata.combining(char))
    found: list[str] = []
    for word in WORD.findall(plain):
        if IS_SPACELESS.match(word):
            found += map("".join, pairwise(word)) if len(word) > 1 else (word,)
        else:
            found.append(word if word in STOP else stem(word))
    return found


def stem(word: str) -> str:
    """An English word without its commonest endings: reports, reported, reporting -> report."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("s") and word[-2] not in "suia":
        word = word[:-1] if not word.endswith("ies") or len(word) < 5 else word[:-3] + "y"
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) > 2 and re.search("[aeiouy]", rest):
            return rest[:-1] if rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest.removesuffix("e")
    return word[:-1] if len(word) > 4 and word.endswith("e") else word

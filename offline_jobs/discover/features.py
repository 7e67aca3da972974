"""Features by which similar texts are grouped: lines, sentences, clauses, and the start and end of a text.

A feature has a hash and a weight. Numbers are masked, so texts that differ only in numbers have the same features. Only
the first and the last `REACH` characters of a text are read.
"""

import re
from hashlib import blake2b

from msgspec import Struct

from offline_jobs.discover.tokens import masked

REACH = 4000
FEWEST_WORDS = 3
MOST_WORDS = 8
"""The weight of a feature stops growing at this number of words."""
EDGES = (8, 12, 16, 24)
"""The numbers of words and marks in the features for the start and the end of a text."""
AT_EDGE = 2
"""The factor for the weight of features at the start or end of a text. Content seldom stands there alone."""
NEAR_EDGE = 320
"""The first and last pieces of a text are looked for in this many characters, and all of the text only if they are too
few."""
LABEL = 1
"""The weight of a short label, such as `Title:`. A label is used only if a text has no other feature."""
MOST_LABELS = 6
"""The labels at the beginnings of lines, in their order, are one feature. At most this many labels are read."""
_LABEL = re.compile(r"[^\W\d_][\w; ]{0,24}:\s*")
_SENTENCE_END = re.compile(r"[.?!][\"')\]]*\s+")
_CLAUSE = re.compile(r'[:"\n.?!,;()<>{}\[\]|#*-]')
_WORDS = re.compile(r"[^\W\d_\u3400-\u9fff]+|[\u3400-\u9fff]")
_PIECES = re.compile(r"[^\W\d_\u3400-\u9fff]+|\S")


class Feature(Struct, frozen=True):
    """A feature of a text. `weight` grows with the number of its words."""

    hash: int
    weight: int


def features(text: str, salt: str = "") -> list[Feature]:
    """Return the distinct features of a text. Texts with different `salt` have no features in common."""
    if len(text) > 2 * REACH:
        text = text[:REACH] + "\n" + text[-REACH:]
    seen: dict[str, int] = {}
    plain = masked(text)
    lines = [line for line in plain.split("\n") if line.strip()]
    for number, line in enumerate(lines):
        _add_line(seen, line, is_first=not number, is_last=number == len(lines) - 1)
    starts, ends = _edge_pieces(plain)
    for count in EDGES:
        if len(starts) > count:
            _add(seen, "H", " ".join(starts[:count]), AT_EDGE)
            _add(seen, "T", " ".join(ends[-count:]), AT_EDGE)
    labels = [match[0].strip() for line in lines if (match := _LABEL.match(line))][:MOST_LABELS]
    if len(labels) > 1:
        seen.setdefault(f"G{'|'.join(labels)}", len(labels))
    if lines and (label := _LABEL.match(lines[0])):
        seen.setdefault(f"B{label[0].strip()}", LABEL)
    if len(lines) > 1 and _LABEL.fullmatch(lines[-1]):
        seen.setdefault(f"E{lines[-1].strip()}", LABEL)
    return [Feature(hashed(salt + name), weight) for name, weight in seen.items()]


def hashed(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _edge_pieces(text: str) -> tuple[list[str], list[str]]:
    """Return the pieces at the start and at the end of a text, at least enough for `EDGES`.

    The middle of a long text is not read.
    """
    most = max(EDGES)
    starts = _PIECES.findall(text[:NEAR_EDGE])
    ends = _PIECES.findall(text[-NEAR_EDGE:])[1:]  # the first one may be the rest of a word
    if len(text) > NEAR_EDGE and min(len(starts), len(ends)) > most:
        return starts[:-1], ends
    whole = _PIECES.findall(text)
    return whole, whole


def _sentences(line: str) -> list[str]:
    """Cut a line after each sentence. Quotation marks and spaces after a sentence are left out."""
    sentences, done = [], 0
    for match in _SENTENCE_END.finditer(line):
        sentences.append(line[done : match.start() + 1])
        done = match.end()
    return [*sentences, line[done:]]


def _add_line(seen: dict[str, int], line: str, *, is_first: bool, is_last: bool) -> None:
    sentences = _sentences(line)
    for number, sentence in enumerate(sentences):
        at_edge = (is_first and not number) or (is_last and number == len(sentences) - 1)
        _add(seen, "S", sentence.strip(), AT_EDGE if at_edge else 1)
        first = _CLAUSE.split(sentence, maxsplit=1)[0]
        if len(first) + 1 < len(sentence):
            at_edge = is_first and not number
            _add(seen, "C", first + sentence[len(first)], AT_EDGE if at_edge else 1)
    if len(sentences) > 1:
        _add(seen, "S", line.strip())
    if line.rstrip().endswith(":"):
        _add(seen, "E", _CLAUSE.split(line.rstrip()[:-1])[-1])
    if is_last:
        rest = line.rstrip(' .?!:"\n')
        _add(seen, "E", _CLAUSE.split(rest)[-1] + line[len(rest) :], AT_EDGE)


def _add(seen: dict[str, int], kind: str, piece: str, factor: int = 1) -> None:
    count = len(_WORDS.findall(piece[:NEAR_EDGE]))
    if count <= MOST_WORDS and len(piece) > NEAR_EDGE:
        count = len(_WORDS.findall(piece))
    if count >= FEWEST_WORDS:
        seen.setdefault(f"{kind}{piece}", factor * min(count, MOST_WORDS))

"""Writes each score to a file, one per line, so that an interrupted measurement can continue."""

import hashlib
import logging
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.prompt.measure.pairs import AnswerPair, ScoredPair

log = logging.getLogger("foreword.gains")


class LoggedScore(Struct, frozen=True):
    """The score of one pair."""

    pair: str
    difference: float
    by: str
    template: str = ""
    model: str = ""
    prompt: str = ""
    """The id of the shipped prompt or of the recorded exchange."""


class ScoreLog:
    """The scores of earlier runs.

    A pair is scored again if its template, its prompt or a limit has changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, LoggedScore] = {}
        if path.exists():
            for line in path.read_bytes().splitlines():
                try:
                    score = msgspec.json.decode(line, type=LoggedScore)
                except msgspec.MsgspecError:
                    continue  # a line that a crash cut off is skipped, and its pair is scored again
                self._known[score.pair] = score

    def known(self, pair: AnswerPair, judge: str) -> ScoredPair | None:
        """Return the pair's score from an earlier run, or None.

        The earlier run must have used the same source of scores and, for a judged pair, the same judge.
        """
        score = self._known.get(_digest(pair, judge))
        return None if score is None else ScoredPair(pair, score.difference, score.by)

    def add(self, scored: ScoredPair, judge: str) -> None:
        pair = scored.pair
        digest = _digest(pair, judge)
        score = LoggedScore(digest, scored.difference, scored.by, pair.template, pair.target.model, pair.id)
        self._known[digest] = score
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(score) + b"\n")


def _digest(pair: AnswerPair, judge: str) -> str:
    """Return a digest of everything that affects the score of a pair."""
    turns = [[(turn.role, turn.text) for turn in prompt] for prompt in (pair.raw, pair.rewritten)]
    scored = [pair.right, pair.compare, pair.checks, pair.marker, pair.scored_by(judge)]
    judged = judge if pair.scored_by(judge) == "judge" else ""
    parts = [pair.key, pair.target.backend, pair.target.model, turns, pair.sampling, scored, judged]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

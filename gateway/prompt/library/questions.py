"""Decides whether a request asks the one question that all examples of a pool answer.

A request must pass three tests:

- All content words of the request occur in the question's wordings.
- The embedding of the request is near one of the wordings, and nearer to the wordings than to other questions.
- The text in the request is similar to the texts of the examples.

The wordings are the pool's `question`, and the template's `match` examples without their texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gateway.prompt.language.payload import split
from gateway.prompt.language.question import GAP, QuestionWording, label_of, wording_of
from gateway.prompt.language.vocabulary import VOCABULARY
from gateway.prompt.templates.fields import ExamplePool
from gateway.prompt.templates.template import Template
from gateway.split import TextSpan

if TYPE_CHECKING:
    from gateway.ports import Vectors

Embed = Callable[[Sequence[str]], "Vectors"]

STRENGTH = 0.3
"""The regularisation strength of the ridge regression that separates the question from other questions."""
LEAST = -0.1
"""The minimum score of a request that asks the question. The regression is fitted to 1 for wordings of the question and
to -1 for other questions.
"""
NEAREST = 0.5
"""The minimum similarity of a request to the nearest wording."""
STRANGE = 0.02
"""The share of a pool's own texts whose similarity to the nearest other text may be below the limit."""
SPREAD = 0.05
"""How much lower the limit is for new texts than for the pool's own texts."""
MOST_FRAMES = 2
"""The maximum number of frames, which are wordings without their question. Each other question is embedded in each
frame.
"""
SAMPLED = 600
"""About this many of a pool's texts are compared with each other."""


class PoolQuestion(Struct, frozen=True):
    """The question that one template's pool answers.

    `wordings` is [n, dimensions]. `weights` is [dimensions + 1], with the intercept last.
    """

    words: QuestionWording
    wordings: Vectors
    weights: Vectors
    labels: frozenset[str]

    def why_other(self, request: str, vector: Vectors) -> str:
        """Return the reason why a request asks something else, or "" if it asks this question.

        In `request`, `GAP` replaces the text.
        """
        import numpy as np

        reason = self.words.why_other(request, self.labels)
        if reason:
            return reason
        row = np.asarray(vector, np.float32).reshape(-1)
        nearest = float((self.wordings @ row).max())
        if nearest < NEAREST:
            return f"it is unlike the question's wordings ({nearest:.2f})"
        score = float(row @ self.weights[:-1] + self.weights[-1])
        return "" if score >= LEAST else f"it is more like other questions ({score:.2f})"


def without_text(query: str, span: TextSpan) -> str:
    """Return the query with `GAP` in place of the text at `span`."""
    return f"{query[: span.start]}{GAP}{query[span.end :]}"


def question_of(template: Template, labels: Sequence[str], embed: Embed) -> PoolQuestion | None:
    """Return the question that the template's pool answers, or None if the template sets no `question`.

    This call blocks, since it embeds a few hundred short texts.
    """
    import numpy as np

    pool = template.examples
    if not isinstance(pool, ExamplePool) or not pool.question:
        return None
    own = list(dict.fromkeys(_wordings(template, pool.question)))
    frames = [frame for wording in own if (frame := _frame(wording))][:MOST_FRAMES]
    asked = VOCABULARY[template.language].question.others
    others = [f"{frame} {other}" for frame in ("", *dict.fromkeys(frames)) for other in asked]
    others += [without_text(text, span) for text in template.intent.not_ if (span := split(text).payload)]
    vectors = np.asarray(embed([*own, *others]), np.float32)
    wordings = vectors[: len(own)]
    names = frozenset(map(label_of, pool.labels or labels))
    words = wording_of(template.language, own)
    return PoolQuestion(words, wordings, _weights(wordings, vectors[len(own) :]), names)


def least_likeness(vectors: Vectors) -> float:
    """Return the minimum similarity of a text to its nearest example. A text below the minimum is unlike the examples.

    `vectors` is [rows, dimensions]. With fewer than three rows, the minimum is 0.
    """
    import numpy as np

    rows = np.asarray(vectors[:: max(1, len(vectors) // SAMPLED)], np.float32)
    if len(rows) < 3:
        return 0.0
    scores: Any = rows @ rows.T
    np.fill_diagonal(scores, -1.0)
    return float(np.quantile(scores.max(axis=1), STRANGE)) - SPREAD


def _wordings(template: Template, question: str) -> Iterator[str]:
    yield f"{question}\n{GAP}"
    for text in template.intent.match:
        span = split(text).payload
        if span is not None:
            yield without_text(text, span)


def _frame(wording: str) -> str:
    """Return a wording without its last sentence, which is the question. Return "" if nothing else remains."""
    before, gap, after = wording.partition(GAP)
    if any(mark in after for mark in "?？"):
        return f"{before}{gap}{after[:1].strip()}" if before.strip() else ""
    sentences = before.strip().split(". ")
    return ". ".join(sentences[:-1]) + f". {GAP}" if len(sentences) > 1 else ""


def _weights(own: Any, others: Any) -> Vectors:
    """Fit a ridge regression in closed form, and return its weights.

    The targets are 1 for wordings of the question and -1 for other questions. Both classes have the same total weight.
    """
    import numpy as np

    rows = np.vstack([own, others])
    rows = np.hstack([rows, np.ones((len(rows), 1), np.float32)])
    aims = np.r_[np.ones(len(own)), -np.ones(len(others))]
    weights = np.r_[np.ones(len(own)), np.full(len(others), len(own) / max(1, len(others)))]
    weighted = (rows * weights[:, None]).T
    return np.asarray(np.linalg.solve(weighted @ rows + STRENGTH * np.eye(rows.shape[1]), weighted @ aims), np.float32)

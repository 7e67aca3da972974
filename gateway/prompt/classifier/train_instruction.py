"""Trains the model that finds the instruction in a prompt, on our seed prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gateway.prompt.classifier.instruction import InstructionModel, line_tokens
from gateway.prompt.classifier.lessons import SeedPrompt

ENOUGH = 20  # a language with fewer payloads gets no model
STRENGTH = 0.3
SMALLEST = 0.02  # smaller weights are dropped, since they decide nothing
CHAT = "none:chat"  # the kind of prompts that make a statement and ask for nothing


def train_instructions(prompts: Sequence[SeedPrompt], *, spaced: bool) -> InstructionModel | None:
    """Train the model of one language, or return None if too few prompts have a payload."""
    pasted = [line for prompt in prompts for line in _pasted(prompt.payload)]
    asking = [prompt.instruction for prompt in prompts if prompt.intent != CHAT]
    if len(pasted) < ENOUGH:
        return None
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = CountVectorizer(analyzer=lambda line: line_tokens(line, spaced=spaced), min_df=2, binary=True)
    rows = vectorizer.fit_transform([*asking, *pasted])
    labels = np.array([1] * len(asking) + [0] * len(pasted))
    fitted = LogisticRegression(C=STRENGTH, max_iter=500, class_weight="balanced").fit(rows, labels)
    weights = {
        token: round(float(fitted.coef_[0][column]), 3)
        for token, column in sorted(vectorizer.vocabulary_.items())
        if abs(fitted.coef_[0][column]) >= SMALLEST
    }
    return InstructionModel({"": round(float(fitted.intercept_[0]), 3), **weights}, spaced=spaced)


def _pasted(payload: str) -> Iterator[str]:
    """Return the first and the last line of a payload. In a prompt, one of these lines is next to the instruction."""
    lines = [line for line in payload.split("\n") if line.strip()]
    yield from dict.fromkeys(lines[:1] + lines[-1:])

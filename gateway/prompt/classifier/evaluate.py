"""Measures a classifier on labelled prompts: accuracy, calibration, false alarms, and time for a query."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gateway.prompt.classifier.calibrate import figures
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.classifier.confusion import Confusion, confusion
from gateway.prompt.classifier.labelled import NONE, Labelled, is_outside


class Evaluation(Struct, frozen=True):
    """Named figures of an evaluation. `unseen` are the intents in the file that the classifier does not know."""

    figures: dict[str, float]
    confusion: Confusion
    unseen: tuple[str, ...] = ()


async def evaluate(classifier: Classifier, rows: Sequence[Labelled], floor: float = 0.6) -> Evaluation:
    """Classify the prompts one by one, as the gateway does. `floor` is the value of `[prompt] confidence`.

    Accuracy counts the most probable intent, even if its confidence is below `floor`.
    """
    got, trust, tiers, spent = [], [], [], []
    for row in rows:
        started = time.perf_counter()
        await classifier.classify(row.text)
        spent.append((time.perf_counter() - started) * 1e3)
        decision = await classifier.verdict(row.text)  # cheap, since the embedder still has the vector in memory
        verdict, tier = decision if decision else (None, "")
        got.append(verdict.name if verdict else NONE)
        trust.append(verdict.confidence if verdict else 0.0)
        tiers.append(tier)
    intents = [row.intent for row in rows]
    within = np.array([name != NONE for name in intents])
    right = np.array([intent == name for intent, name in zip(intents, got, strict=True)])
    sure = np.array(trust, np.float32)
    accepted = [name if score >= floor else NONE for name, score in zip(got, sure, strict=True)]
    costs = {f"ms a query, {name}": float(np.quantile(spent, q)) for name, q in (("p50", 0.5), ("p99", 0.99))}
    first = {"first tier decides": float(np.mean([tier != "sentence" for tier in tiers]))}
    taught = set().union(*(tier.names.classes for kinds in classifier.model.tiers.values() for tier in kinds.values()))
    return Evaluation(
        figures(sure, right, within, floor) | first | costs,
        confusion(intents, accepted),
        tuple(sorted(name for name in set(intents) - taught if not is_outside(name))),
    )

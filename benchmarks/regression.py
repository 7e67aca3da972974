"""Compares the classifier's own logistic regression with scikit-learn's on the same rows: seconds, memory, accuracy.

    python benchmarks/regression.py --prompts 15000 --intents 150

The rows are synthetic: each intent has its own words among common ones, and its own direction in the embedding. Both
learn with the same regularisation, and are scored on unseen rows.
"""

import argparse
import time

import click
import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from gateway.prompt.classifier.regression import STRENGTH, TrainingRows, fit

DIMENSIONS, WORDS, OWN = 384, 8000, 20


def made_up(prompts: int, intents: int, seed: int) -> tuple[TrainingRows, np.ndarray]:
    random, shared = np.random.default_rng(seed), np.random.default_rng(0)
    directions = shared.normal(size=(intents, DIMENSIONS)).astype(np.float32)
    vocabulary = shared.integers(0, WORDS, size=(intents, OWN))
    labels = random.integers(0, intents, size=prompts)
    vectors = directions[labels] + random.normal(scale=4.0, size=(prompts, DIMENSIONS)).astype(np.float32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    own = vocabulary[labels[:, None], random.integers(0, OWN, size=(prompts, 2))]
    columns = np.concatenate([own, random.integers(0, WORDS, size=(prompts, 10))], axis=1)
    rows = np.repeat(np.arange(prompts), columns.shape[1])
    words = sparse.csr_matrix((np.full(rows.size, 0.3, np.float32), (rows, columns.ravel())), (prompts, WORDS))
    return TrainingRows(words, vectors), np.array([f"intent-{label:03}" for label in labels])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=15_000)
    parser.add_argument("--intents", type=int, default=150)
    options = parser.parse_args()
    table, labels = made_up(options.prompts, options.intents, 1)
    unseen, right = made_up(2000, options.intents, 2)
    with threadpool_limits(1):
        started = time.perf_counter()
        own = fit(table, labels)
        took = time.perf_counter() - started
        given = own.classes[own.scores(unseen).argmax(axis=1)]
        click.echo(f"ours          {took:7.1f} s   accuracy {(given == right).mean():.3f}")
        both = sparse.hstack([table.words, sparse.csr_matrix(table.vectors)]).tocsr()
        started = time.perf_counter()
        theirs = LogisticRegression(C=STRENGTH, max_iter=100, class_weight="balanced").fit(both, labels)
        took = time.perf_counter() - started
        score = theirs.score(sparse.hstack([unseen.words, sparse.csr_matrix(unseen.vectors)]).tocsr(), right)
        click.echo(f"scikit-learn  {took:7.1f} s   accuracy {score:.3f}")


if __name__ == "__main__":
    main()

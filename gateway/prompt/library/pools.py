"""Few-shot pools: sets of labelled examples. Each request gets the examples most similar to it.

A pool in a file is read and embedded once. Its vectors are stored on disk under a hash of the inputs and the embedder.
A search takes one matrix-vector product and a partial sort. A pool in a collection uses the vectors of the collection.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.errors import TemplateError
from gateway.exchange import Chunk
from gateway.prompt.library.questions import PoolQuestion, least_likeness, question_of
from gateway.prompt.templates.fields import ExamplePool, Shot
from gateway.prompt.templates.template import Template

if TYPE_CHECKING:
    from gateway.ports import Vectors

Embed = Callable[[Sequence[str]], "Vectors"]
Count = Callable[[str], int]
PoolKey = tuple[Path, str, str]
"""The file of a pool, with the names of the fields for input and output."""


class PoolRows(Struct, frozen=True):
    """The examples of a pool, in the order of its file. `labels` are their distinct outputs, sorted."""

    shots: tuple[Shot, ...]
    labels: tuple[str, ...]
    tokens: tuple[int, ...] = ()
    """The number of tokens of each example. The tokens are counted only if a template limits them."""


class EmbeddedPool(Struct, frozen=True):
    """A pool and its embedding. `vectors` is a float32 array of [rows, dimensions], with rows of length 1."""

    rows: PoolRows
    vectors: Vectors
    k: int
    balanced: bool
    budget_tokens: int = 0
    least: float = 0.0
    """The minimum similarity of a text to its nearest example. A text below the minimum is unlike the examples."""

    def likeness(self, vector: Vectors) -> float:
        """Return the similarity of `vector` to the nearest example. `vector` is [dimensions]."""
        import numpy as np

        return float((self.vectors @ np.asarray(vector, np.float32).reshape(-1)).max())

    def nearest(self, vector: Vectors, k: int = 0) -> tuple[Shot, ...]:
        """Return up to `k` examples, with the one most similar to `vector` last.

        Fewer examples are returned if the token budget is too small. If two examples are equally similar, the one that
        comes first in the file is preferred. `vector` is [dimensions].
        """
        import numpy as np

        k = min(k or self.k, len(self.rows.shots))
        scores: Any = self.vectors @ np.asarray(vector, np.float32).reshape(-1)
        if self.balanced:
            order: Any = np.argsort(-scores, kind="stable")
            chosen = _fair(order, self.rows, k)
        else:
            kth = np.partition(scores, len(scores) - k)[len(scores) - k]
            candidates = np.flatnonzero(scores >= kth)
            order = candidates[np.argsort(-scores[candidates], kind="stable")]
            chosen = [int(index) for index in order[:k]]
        if self.budget_tokens:
            chosen = chosen[: fitting([self.rows.tokens[index] for index in chosen], self.budget_tokens)]
        return tuple(self.rows.shots[index] for index in reversed(chosen))


class Pools(Struct, frozen=True):
    """All loaded pools. `load_pools` builds this value, and a reload replaces the whole value."""

    loaded: Mapping[PoolKey, EmbeddedPool] = {}
    questions: Mapping[str, PoolQuestion] = {}
    """The questions that the pools answer, by `Template.content`."""

    def question_of(self, template: Template) -> PoolQuestion | None:
        """Return the only question that the template's examples answer, or None if they answer several."""
        return self.questions.get(template.content)

    def of(self, template: Template) -> EmbeddedPool | None:
        key = _key(template)
        embedded = self.loaded.get(key) if key else None
        if embedded is None or not isinstance(template.examples, ExamplePool):
            return None
        pool = template.examples
        return msgspec.structs.replace(embedded, k=pool.k, balanced=pool.balanced, budget_tokens=pool.budget_tokens)


def fitting(tokens: Sequence[int], budget: int) -> int:
    """Return how many examples fit the token budget together, counted from the first example."""
    total = 0
    for count, size in enumerate(tokens):
        total += size
        if total > budget:
            return count
    return len(tokens)


def of_chunks(chunks: Sequence[Chunk], pool: ExamplePool) -> tuple[Shot, ...]:
    """Return up to `pool.k` chunks of a collection as examples, with the nearest chunk last.

    The last line of a chunk is the output, so a chunk with a single line is left out.
    """
    shots = []
    for chunk in chunks:
        text, _, output = chunk.text.strip().rpartition("\n")
        if text.strip():
            shots.append((Shot(text.strip(), output.strip(), chunk.id), chunk.tokens))
    shots = shots[: pool.k]
    if pool.budget_tokens:
        shots = shots[: fitting([tokens for _, tokens in shots], pool.budget_tokens)]
    return tuple(shot for shot, _ in reversed(shots))


def pool_path(template: Template) -> Path | None:
    """Return the path of the pool's file, or None if the template has no pool in a file.

    A relative path starts at the template's `home`, or at the folder of the template's file if `home` is "".
    """
    if not isinstance(template.examples, ExamplePool) or not template.examples.pool:
        return None
    return (Path(template.home or Path(template.file).parent) / template.examples.pool).resolve()


def _key(template: Template) -> PoolKey | None:
    path, pool = pool_path(template), template.examples
    return (path, pool.input, pool.output) if path and isinstance(pool, ExamplePool) else None


def read_pool(template: Template) -> PoolRows:
    """Read the template's pool. Raises `TemplateError` with the line of the pool's file that has the mistake."""
    path, pool = pool_path(template), template.examples
    assert path is not None
    assert isinstance(pool, ExamplePool)
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        line, column = template.places.get("examples", (0, 0))
        raise TemplateError(template.file, f"the pool {pool.pool} cannot be read: {error}", line, column) from error
    shots = [_shot(line, pool, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not shots:
        raise TemplateError(str(path), "the pool has no examples", 1, 1)
    # an input that occurs twice would otherwise take two of the k places
    unique = {shot.input: shot for shot in reversed(shots)}
    distinct = tuple(shot for shot in shots if unique[shot.input] is shot)
    return PoolRows(distinct, tuple(sorted({shot.output for shot in distinct})))


def load_pools(
    templates: Iterable[Template], embed: Embed, embedder: str, cache: Path, count: Count
) -> tuple[Pools, list[TemplateError]]:
    """Read and embed each pool once. Broken pools are reported and left out.

    This call blocks, so call it on a worker thread.
    """
    loaded: dict[PoolKey, EmbeddedPool] = {}
    templates = tuple(templates)
    capped = {
        _key(candidate)
        for candidate in templates
        if isinstance(candidate.examples, ExamplePool) and candidate.examples.budget_tokens
    }
    errors: list[TemplateError] = []

    def embedded(texts: Sequence[str]) -> Vectors:
        return stored_vectors(texts, embed, embedder, cache)

    for template in templates:
        key = _key(template)
        if key is None or key in loaded or not isinstance(template.examples, ExamplePool):
            continue
        try:
            rows = read_pool(template)
        except TemplateError as error:
            errors.append(error)
            continue
        vectors = embedded([shot.input for shot in rows.shots])
        tokens = tuple(count(f"{shot.input}\n{shot.output}") for shot in rows.shots) if key in capped else ()
        rows = msgspec.structs.replace(rows, tokens=tokens)
        pool = EmbeddedPool(rows, vectors, template.examples.k, template.examples.balanced)
        loaded[key] = msgspec.structs.replace(pool, least=least_likeness(vectors))
    return Pools(loaded, _questions(templates, loaded, embedded)), errors


def _questions(
    templates: Iterable[Template], loaded: Mapping[PoolKey, EmbeddedPool], embed: Embed
) -> Mapping[str, PoolQuestion]:
    questions = {}
    for template in templates:
        key = _key(template)
        labels = loaded[key].rows.labels if key is not None and key in loaded else ()
        question = question_of(template, labels, embed)
        if question is not None:
            questions[template.content] = question
    return questions


def _shot(line: str, pool: ExamplePool, path: Path, number: int) -> Shot:
    try:
        row = msgspec.json.decode(line, type=dict[str, Any])
        return Shot(str(row[pool.input]), str(row[pool.output]), f"{path.name}:{number}")
    except msgspec.DecodeError as error:
        raise TemplateError(str(path), f"is not a JSON object: {error}", number, 1) from error
    except KeyError as error:
        what = f"has no field {error.args[0]!r}; the template says input: {pool.input}, output: {pool.output}"
        raise TemplateError(str(path), what, number, 1) from error


def stored_vectors(texts: Sequence[str], embed: Embed, embedder: str, cache: Path) -> Vectors:
    """Return the vectors of the texts. They are read from disk if they are stored there, and computed otherwise."""
    import numpy as np

    inputs = list(texts)
    key = hashlib.sha256(msgspec.json.encode([embedder, inputs])).hexdigest()[:32]
    file = cache / f"{key}.npy"
    try:
        vectors: Vectors = np.load(file, allow_pickle=False)
    except (OSError, ValueError):
        vectors = np.asarray(embed(inputs), np.float32)
        cache.mkdir(parents=True, exist_ok=True)
        # renamed when complete, so that neither a crash nor a second worker leaves a partial file
        beside = cache / f"{key}.{id(vectors)}.tmp.npy"
        np.save(beside, vectors)
        beside.replace(file)
    return vectors if len(vectors) == len(inputs) else np.asarray(embed(inputs), np.float32)


def _fair(order: Iterable[Any], rows: PoolRows, k: int) -> list[int]:
    """Return the first `k` rows of `order`, with at most an equal share for each output.

    An output gets more than its share only if the other outputs have no examples left.
    """
    share = max(1, math.ceil(k / len(rows.labels)))
    taken: dict[str, int] = {}
    chosen: list[int] = []
    others: list[int] = []
    for index in map(int, order):
        label = rows.shots[index].output
        if taken.get(label, 0) < share:
            taken[label] = taken.get(label, 0) + 1
            chosen.append(index)
            if len(chosen) == k:
                return chosen
        else:
            others.append(index)
    return chosen + others[: k - len(chosen)]

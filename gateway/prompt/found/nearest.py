"""The nearest worked examples of a found prompt: for each request, the rows of its own traffic that are most like it.

The choice itself is that of the pools of templates. The rows stand in the version of the prompt that uses them, so they
never serve another prompt or another key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.context.embedding.batcher import Batcher
from gateway.prompt.found.adopt import FoundTemplate, NearestExamples
from gateway.prompt.library.pools import EmbeddedPool, PoolRows, stored_vectors
from gateway.prompt.templates.fields import Shot

if TYPE_CHECKING:
    from gateway.ports import Vectors

log = logging.getLogger("foreword.found")


def texts_of(template: FoundTemplate, nearest: NearestExamples) -> list[str]:
    """Return the texts of the examples that are compared with a request: the values of the part."""
    at = [slot.name for slot in template.slots].index(nearest.part)
    return [row.values[at] for row in nearest.rows]


def pool_of(template: FoundTemplate, nearest: NearestExamples, vectors: Vectors) -> EmbeddedPool:
    """Return the pool of a version's examples. `vectors` are those of `texts_of`: float32 [rows, dimensions]."""
    shots = tuple(Shot(template.own_message(template.named(row.values)), row.answer) for row in nearest.rows)
    labels = tuple(sorted({shot.output for shot in shots}))
    return EmbeddedPool(PoolRows(shots, labels), vectors, nearest.k, nearest.balanced)


class FoundPools:
    """The embedded examples of the versions that are sent. Without an embedder, there are none."""

    def __init__(self, batcher: Batcher | None, cache: Path) -> None:
        self.problem = ""
        """The reason why a version's examples cannot be used, or ""."""
        self._batcher = batcher
        self._cache = cache
        self._pools: dict[tuple[str, int], tuple[FoundTemplate, EmbeddedPool]] = {}

    def of(self, template: FoundTemplate) -> EmbeddedPool | None:
        """Return the pool of a version, or None while it is being embedded."""
        known = self._pools.get((template.prompt, template.version))
        return known[1] if known is not None and known[0] is template else None

    def refresh(self, templates: Iterable[FoundTemplate]) -> None:
        """Embed the examples of these versions, and forget all others. This call blocks."""
        pools: dict[tuple[str, int], tuple[FoundTemplate, EmbeddedPool]] = {}
        problem = ""
        for template in templates:
            if template.nearest is None:
                continue
            pool = self.of(template)
            try:
                pools[template.prompt, template.version] = template, pool or self._embedded(template, template.nearest)
            except Exception as error:  # an embedder may be remote, or any library
                problem = f"the examples of {template.id} are not used: {error}"
        if problem and problem != self.problem:
            log.error(problem)
        self._pools, self.problem = pools, problem

    def _embedded(self, template: FoundTemplate, nearest: NearestExamples) -> EmbeddedPool:
        if self._batcher is None:
            raise LookupError("they are chosen by likeness, which needs an [embedder]")
        texts = texts_of(template, nearest)
        return pool_of(
            template,
            nearest,
            stored_vectors(texts, self._batcher.embed_sync, self._batcher.embedder.name, self._cache),
        )

"""Embeds the texts of chunks, and tells whether a collection was made with the configured embedder."""

from collections.abc import Sequence

from gateway.context.reading import chunk as chunking
from gateway.context.store.catalog import Catalog, Collection
from gateway.errors import CollectionError
from gateway.ports import Embedder, Vectors

PROBE = "The embedder that this collection was made with."
SAME_EMBEDDER = 0.999
"""If two vectors of one text have at least this cosine, they come from the same model. Machines and batches cause small
differences.
"""


def check_embedder(catalog: Catalog, collection: Collection, embedder: Embedder) -> None:
    """Raise `CollectionError` if the collection was made with another embedder. Vectors of two embedders cannot be
    compared.
    """
    import numpy as np

    probe = embedder.embed([PROBE])[0]
    before = np.frombuffer(catalog.probe(collection.id), np.float32)
    if not before.size:
        catalog.change(collection.id, probe=probe.astype(np.float32).tobytes())
    elif before.shape != probe.shape or float(before @ probe) < SAME_EMBEDDER:
        raise CollectionError(
            f"collection {collection.name!r} was made with another embedder; "
            f"run `foreword collections remove {collection.name}`, then add its files again"
        )


def embedded(texts: Sequence[str], embedder: Embedder) -> Vectors:
    """Return the vectors of the texts: [texts, dimensions].

    Clients may ask for chunks that are longer than the embedder's window. Such a chunk is embedded in parts and gets
    the mean of their vectors. If it were cut off, no search would find the rest.
    """
    import numpy as np

    parts = [chunking.within(text, embedder.count_tokens, embedder.window_tokens) for text in texts]
    vectors = embedder.embed([piece for pieces in parts for piece in pieces])
    if len(vectors) == len(texts):
        return vectors
    rows, first = [], 0
    for pieces in parts:
        mean = vectors[first : first + len(pieces)].mean(axis=0)
        rows.append(mean / (np.linalg.norm(mean) or 1.0))
        first += len(pieces)
    return np.stack(rows)

"""Collections with one chunk per text, embedded word by word."""

from gateway.context.store.collections import Collections
from gateway.exchange import Chunk
from tests.doubles.bag_embedder import BagEmbedder


def fill(collections: Collections, owner: str, name: str, texts: dict[str, list[str]], **attributes: str) -> str:
    """Make a collection with one chunk per text. Returns its id."""
    id = collections.catalog.create(owner, name)
    documents = collections.documents(id)
    for source, parts in texts.items():
        document = documents.stage(source, "", attributes={"source": source, **attributes})
        chunks = [
            Chunk(f"{source}-{place}", id, source, text, start=place * 100, end=place * 100 + len(text), tokens=10)
            for place, text in enumerate(parts)
        ]
        collections.vectors.add(id, document, documents.put(document, chunks), BagEmbedder().embed(parts))
        documents.go_live(document)
    return id

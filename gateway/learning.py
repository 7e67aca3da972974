"""What takes long to load and can be had late: templates, embedder, classifier, examples, collections.

Until a part is there, its stage leaves the exchange as it is and says that it is still loading.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.context.retrieve import Retrieve
from gateway.errors import NotReady, TemplateError
from gateway.ports import Completer, VectorStore
from gateway.prompt.classify import Classifier, Classify
from gateway.prompt.gains import GainTable, gains_path
from gateway.prompt.library import Library, load_library
from gateway.prompt.policy import Policy
from gateway.prompt.rewrite import Rewrite
from gateway.readiness import Readiness
from gateway.settings import Settings

log = logging.getLogger("foreword.learning")


class Learned:
    """The stages that learn from files, and how they come by what they need."""

    def __init__(
        self, settings: Settings, batcher: Any, store: VectorStore | None, retrieve: Retrieve, completer: Completer
    ) -> None:
        self.classify = Classify()
        gains = GainTable(gains_path(settings.data_folder)) if settings.prompt.gains == "use" else None
        self.rewrite = Rewrite(settings.prompt, completer=completer, policy=Policy(settings.templates, gains))
        self.retrieve = retrieve
        self.broken: list[TemplateError] = []
        """Template files that were left out."""
        self._settings = settings
        self._batcher = batcher
        self._store = store

    async def load(self, readiness: Readiness) -> None:
        """Load everything. The classifier is first: once it is trained it needs no embedding model to start."""
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("templates", self._load_templates),
            ("classifier", self._load_classifier),
            ("embedder", self._load_embedder),
            ("examples", self._load_examples),
        ]
        if self._store is not None:
            parts.append(("collections", self._open_store))
        readiness.expect(*[name for name, _ in parts])
        for name, load in parts:
            await readiness.watch(name, load)

    async def aclose(self) -> None:
        await self._batcher.aclose()
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    async def _load_templates(self) -> None:
        folders = [(self._settings.root / folder).resolve() for folder in self._settings.prompt.templates]
        library, broken = await asyncio.to_thread(load_library, folders)
        self._report(broken)
        self.rewrite.library = library

    async def _load_embedder(self) -> None:
        await self._batcher.embed(["the first text makes it read its weights"])
        self.rewrite.embed = self._batcher.embed

    async def _load_examples(self) -> None:
        from gateway.prompt.shots import load_pools

        embedder, cache = self._batcher.embedder, self._settings.data_folder / "examples"
        pools, broken = await asyncio.to_thread(
            load_pools, self._library.templates, self._batcher.embed_sync, embedder.name, cache, embedder.count_tokens
        )
        self._report(broken)
        self.rewrite.pools = pools

    async def _load_classifier(self) -> None:
        self.classify.classifier = await asyncio.to_thread(
            make_classifier, self._settings, self._library, self._batcher
        )

    async def _open_store(self) -> None:
        assert self._store is not None
        await asyncio.to_thread(self._store.collections)
        self.retrieve.embed, self.retrieve.store = self._batcher.embed, self._store
        self.rewrite.store = self._store

    @property
    def _library(self) -> Library:
        if self.rewrite.library is None:
            raise NotReady("the templates could not be loaded")
        return self.rewrite.library

    def _report(self, broken: list[TemplateError]) -> None:
        for error in broken:
            log.error("template left out: %s", error)
        self.broken += broken


def make_classifier(settings: Settings, library: Library, batcher: Any) -> Classifier:
    """Train it, or read it if nothing it learns from has changed. Blocking, some seconds at first."""
    # imported here: numpy and scikit-learn cost a bare gateway 60 MB
    from gateway.context.sentence import SentenceEmbedder
    from gateway.context.static import load_static
    from gateway.prompt.train import Embedders, trained

    embedder, folder = batcher.embedder, settings.data_folder
    static = load_static(embedder, folder) if isinstance(embedder, SentenceEmbedder) else None
    model = trained(library, Embedders(static=static, sentence=embedder), folder)
    return Classifier(model, settings.prompt, static, batcher)

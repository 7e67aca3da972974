"""Loads the slow parts after the port is open: templates, embedder, classifier, examples and collections.

Until a part is loaded, the stage that needs this part leaves the exchange as it is and adds a note.
"""

import asyncio
import importlib
import logging
import time
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.embedding.batcher import Batcher
from gateway.context.store.collections import Collections
from gateway.errors import NotReady, TemplateError
from gateway.loaded import NOTHING
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.library.folders import TemplateReader
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.library.stamps import Stamps, stamps
from gateway.prompt.library.versions import VersionArchive
from gateway.readiness import Readiness
from gateway.settings.tables import Settings

log = logging.getLogger("foreword.learning")

SETTLE_S = 0.2
"""How long files must stay unchanged before they are read again, in seconds."""


class ReloadResult(Struct, frozen=True):
    """The result of reading the templates again. If there are `errors`, the previous library is still in use."""

    templates: int
    changed: tuple[str, ...] = ()
    """`id@version` of each new or changed template."""
    gone: tuple[str, ...] = ()
    errors: tuple[TemplateError, ...] = ()


class LateLoader:
    """Loads the slow parts at the start, and again when their files change. `current` holds the loaded parts. A change
    replaces this value as a whole.

    `batcher` runs the embedder. Without a batcher, only the templates are loaded, for requests that name a template.
    """

    def __init__(self, settings: Settings, batcher: Batcher | None, store: Collections | None) -> None:
        self.current = NOTHING
        self.broken: list[TemplateError] = []
        """The mistakes in template files that were left out at the start."""
        self.refused: list[TemplateError] = []
        """The mistakes in changed template files. While this list is not empty, the previous library stays in use."""
        self._settings = settings
        self._batcher = batcher
        self._store = store
        self._folders = [(settings.root / folder).resolve() for folder in settings.prompt.templates]
        self._reader = TemplateReader()
        self._archive: VersionArchive | None = None
        self._behind = False
        self._following: asyncio.Task[None] | None = None
        self._follow_failed = ""
        self._one_reload = asyncio.Lock()
        self._in_turn = asyncio.Lock()
        self._read_once = asyncio.Event()
        self._seen: Stamps = {}
        self._readiness = Readiness()

    @property
    def classifies(self) -> bool:
        """Whether the gateway classifies the prompts of requests that name no template."""
        return self._batcher is not None

    async def load(self, readiness: Readiness, *, classifier: bool = True) -> None:
        """Load all parts. Independent parts load at the same time.

        `classifier` is False for commands that need no classifier, since its training can take minutes.
        """
        if not self.classifies:
            # requests may name a template, so a plain proxy is ready once they were read, even if their files are wrong
            if not await readiness.watch("templates", self._load_templates):
                readiness.forget("templates")
            return
        names = ["templates", "classifier", "embedder", "examples", *(["collections"] if self._store else [])]
        self._readiness = readiness
        readiness.expect(*names)
        # import numpy first, since its import fails if two threads start it at the same time
        await asyncio.to_thread(importlib.import_module, "numpy")
        async with asyncio.TaskGroup() as group:
            if self._store is not None:
                group.create_task(readiness.watch("collections", self._open_store))
            group.create_task(readiness.watch("embedder", self._load_embedder))
            await readiness.watch("templates", self._load_templates)
            if classifier:
                group.create_task(readiness.watch("classifier", self._load_classifier))
            group.create_task(readiness.watch("examples", self._load_examples))

    async def watch(self) -> None:
        """Reload changed files until the gateway stops. The checks use at most 2 % of a core.

        Files are looked at rather than watched by the kernel, which does not see what other machines write.
        """
        interval_s = self._settings.prompt.watch_s
        if not interval_s:
            return
        await self._read_once.wait()
        cpu_s = 0.0
        while True:
            await asyncio.sleep(max(interval_s, 50 * cpu_s))
            now, cpu_s = await asyncio.to_thread(self._timed_stamps)
            if now == self._seen:
                continue
            # copying a folder or switching a branch changes files one by one, so wait for the last change
            while (later := await self._stamps_after(SETTLE_S)) != now:
                now = later
            await self.reload()

    async def reload(self) -> ReloadResult:
        """Read the templates again. If no file has a mistake, the new library replaces the previous one. The examples
        and the classifier for the new library are then loaded in the background.
        """
        async with self._one_reload:
            library, errors = await asyncio.to_thread(self._read)
            if errors:
                self.refused = errors
                for error in errors:
                    log.error("templates not reloaded, the last good ones stay in use: %s", error)
                return ReloadResult(len(library.templates), errors=tuple(errors))
            before = self.current.library or Library()
            self._swap(library=library)
            self.broken, self.refused = [], []
        known = {template.ref: template.digest for template in before.templates}
        there = {template.ref: template.digest for template in library.templates}
        changed = tuple(ref for ref, digest in there.items() if known.get(ref) != digest)
        log.info("templates reloaded", extra={"templates": len(there), "changed": len(changed)})
        self._follow()
        return ReloadResult(len(there), changed, tuple(ref for ref in known if ref not in there))

    def classifier_for(self, library: Library) -> Classifier | None:
        """Return the gateway's classifier for this library. The result is None if the gateway does not classify. This
        call blocks, and may train the classifier.
        """
        return make_classifier(self._settings, library, self._embedding) if self.classifies else None

    def reports(self) -> list[str]:
        """Return messages for the operator: mistakes in templates, and other parts that could not be loaded."""
        library = self.current.library
        changed = library.changed if library else ()
        return [
            *(f"template left out: {error}" for error in self.broken),
            *(f"templates not reloaded, the last good ones stay in use: {error}" for error in self.refused),
            *(str(error) for error in changed),
            *(str(error) for error in (library.faulty if library else ())),
            *([self._follow_failed] if self._follow_failed else []),
            *([self._store.damage] if self._store and self._store.damage else []),
        ]

    async def aclose(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._batcher is not None:
            await self._batcher.aclose()
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    def _swap(self, **parts: Any) -> None:
        self.current = replace(self.current, **parts)

    def _follow(self) -> None:
        """Start to load the examples and the classifier for the current library. Until they are loaded, the previous
        ones stay in use.
        """
        if not self.classifies:
            return
        self._behind = True
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._catch_up(), name="follow")

    async def _catch_up(self) -> None:
        while self._behind:
            self._behind = False
            try:
                await self._load_examples()
                await self._load_classifier()
                self._follow_failed = ""
                for part in ("templates", "examples", "classifier"):
                    self._readiness.mended(part)
            except Exception as error:
                log.exception("examples and classifier could not be loaded for the new templates")
                self._follow_failed = f"the classifier is that of earlier templates: {error}"

    def _stamps(self) -> Stamps:
        return stamps([*self._folders, self._settings.data_folder / "classifier"])

    def _timed_stamps(self) -> tuple[Stamps, float]:
        """Return the stamps, and the CPU time that they took: on a busy machine, the time by the clock says nothing."""
        began = time.thread_time()
        return self._stamps(), time.thread_time() - began

    async def _stamps_after(self, wait_s: float) -> Stamps:
        await asyncio.sleep(wait_s)
        return await asyncio.to_thread(self._stamps)

    def _read(self) -> tuple[Library, list[TemplateError]]:
        if self._archive is None:
            self._archive = VersionArchive(archive_folder(self._settings))
        # stamps are taken before the files are read, so that a change during the reading is noticed
        self._seen = self._stamps()
        return load_library(self._folders, self._archive, self._reader)

    async def _load_templates(self) -> None:
        try:
            library, broken = await asyncio.to_thread(self._read)
        finally:
            self._read_once.set()
        self._report(broken)
        self._swap(library=library)

    async def _load_embedder(self) -> None:
        await self._embedding.embed(["the first text makes it read its weights"])
        self._swap(embed=self._embedding.embed)

    async def _load_examples(self) -> None:
        from gateway.prompt.library.pools import load_pools

        embedder, cache = self._embedding.embedder, self._settings.data_folder / "examples"
        pools, broken = await asyncio.to_thread(
            load_pools, self._library.templates, self._embedding.embed_sync, embedder.name, cache, embedder.count_tokens
        )
        self._report(broken)
        self._swap(pools=pools)

    async def _load_classifier(self) -> None:
        # the first training may still run when the templates change; its classifier must not replace the newer one
        async with self._in_turn:
            classifier = await asyncio.to_thread(make_classifier, self._settings, self._library, self._embedding)
            self._swap(classifier=classifier)

    async def _open_store(self) -> None:
        assert self._store is not None
        await asyncio.to_thread(self._store.open)
        self._swap(collections=self._store)

    @property
    def _embedding(self) -> Batcher:
        assert self._batcher is not None  # examples and classifier need an embedder
        return self._batcher

    @property
    def _library(self) -> Library:
        if self.current.library is None:
            raise NotReady("the templates could not be loaded")
        return self.current.library

    def _report(self, broken: list[TemplateError]) -> None:
        for error in broken:
            log.error("template left out: %s", error)
        self.broken += broken


def archive_folder(settings: Settings) -> Path:
    """Return the folder that holds every version of every template."""
    return settings.data_folder / "templates"


def make_classifier(settings: Settings, library: Library, batcher: Any) -> Classifier:
    """Return the stored classifier if it has the same training data, or else train a new one. This call blocks for
    seconds.
    """
    # imported here, since numpy and scikit-learn take 60 MB
    from gateway.context.embedding.sentence import SentenceEmbedder
    from gateway.context.embedding.static import load_static
    from gateway.prompt.classifier.train import Embedders, trained

    embedder, folder = batcher.embedder, settings.data_folder
    static = load_static(embedder, folder) if isinstance(embedder, SentenceEmbedder) else None
    model = trained(library, Embedders(static=static, sentence=embedder), folder)
    return Classifier(model, settings.prompt, static, batcher)

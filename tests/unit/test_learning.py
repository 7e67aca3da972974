"""Hot reload: the library is swapped whole or not at all, and what depends on it follows."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.context.embedding.batcher import Batcher
from gateway.context.retrieve import RetrieveStage
from gateway.loading import LateLoader
from gateway.readiness import Readiness
from gateway.settings import Context, Data, PromptTable, Settings
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.templates import source, write


@pytest.fixture
async def learned(tmp_path: Path) -> AsyncIterator[LateLoader]:
    write(tmp_path / "templates", "refund", source())
    write(tmp_path / "templates", "other", source(id="other.en", intent="other", match=["something else"]))
    settings = Settings(tmp_path, data=Data("data"), prompt=replace(PromptTable(), watch_s=0.02))
    retrieve = RetrieveStage(Context(), lambda backend, text: len(text))
    made = LateLoader(settings, Batcher(BagEmbedder()), None, retrieve, None)  # type: ignore[arg-type] - nothing is asked
    # training is another test's business
    made._load_classifier = made._load_examples  # type: ignore[method-assign]
    await made.load(Readiness())
    yield made
    await made.aclose()


async def test_a_change_is_taken_over_whole(learned: LateLoader, tmp_path: Path) -> None:
    before = learned.rewrite.library
    write(tmp_path / "templates", "refund", source("# user\nnew\n{{ query }}", version=2))
    write(tmp_path / "templates", "third", source(id="third.en"))
    (tmp_path / "templates" / "other.prompt.md").unlink()
    done = await learned.reload()
    assert (set(done.changed), set(done.gone), done.errors) == (
        {"refund.en@2", "third.en@1"},
        {"refund.en@1", "other.en@1"},
        (),
    )
    assert learned.rewrite.library is not before
    assert before is not None and {template.ref for template in before.templates} == {"refund.en@1", "other.en@1"}


async def test_a_broken_file_keeps_the_last_good_library_and_is_reported(learned: LateLoader, tmp_path: Path) -> None:
    before = learned.rewrite.library
    write(tmp_path / "templates", "refund", source("# user\nnew\n{{ query }}", version=2))
    write(tmp_path / "templates", "bad", source("# user\n{{ nobody }}", id="bad.en"))
    done = await learned.reload()
    assert [error.what for error in done.errors] == ["no slot 'nobody' is declared; known: query"]
    assert learned.rewrite.library is before
    (report,) = learned.reports()
    assert "the last good ones serve on" in report and "bad.prompt.md:23:4" in report
    (tmp_path / "templates" / "bad.prompt.md").unlink()
    await learned.reload()
    assert learned.reports() == []
    assert learned.rewrite.library is not None and learned.rewrite.library.get("refund.en", 2) is not None


async def test_what_has_not_changed_is_not_parsed_again(learned: LateLoader, tmp_path: Path) -> None:
    before = learned.rewrite.library
    (tmp_path / "templates" / "other.prompt.md").touch()
    done = await learned.reload()
    assert (done.changed, done.gone) == ((), ())
    assert before is not None and learned.rewrite.library is not None
    assert learned.rewrite.library.get("other.en") is before.get("other.en")


async def test_the_watcher_sees_a_change_and_waits_until_its_author_is_done(
    learned: LateLoader, tmp_path: Path
) -> None:
    watching = asyncio.create_task(learned.watch())
    try:
        await asyncio.sleep(0.1)
        for version in (2, 3):
            write(tmp_path / "templates", "refund", source("# user\nnew\n{{ query }}", version=version))
        async with asyncio.timeout(10):
            while learned.rewrite.library is None or learned.rewrite.library.get("refund.en", 3) is None:  # noqa: ASYNC110 - the gateway tells nobody
                await asyncio.sleep(0.02)
        assert learned.reports() == []
    finally:
        watching.cancel()

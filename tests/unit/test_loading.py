"""Hot reload: the library is swapped whole or not at all, and what depends on it follows."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Endpoint, Mode, NamedTemplate
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import controls_of
from gateway.context.embedding.batcher import Batcher
from gateway.exchange import Exchange
from gateway.loading import LateLoader
from gateway.pipeline import prepare
from gateway.readiness import Readiness
from gateway.settings.prompt import PromptTable
from gateway.settings.read import load
from gateway.settings.records import Data
from gateway.settings.tables import Settings
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.templates import source, write


@pytest.fixture
async def loader(tmp_path: Path) -> AsyncIterator[LateLoader]:
    write(tmp_path / "templates", "refund", source())
    write(tmp_path / "templates", "other", source(id="other.en", intent="other"))
    settings = Settings(tmp_path, data=Data("data"), prompt=replace(PromptTable(), watch_s=0.02))
    made = LateLoader(settings, Batcher(BagEmbedder()), None)
    # training is another test's business
    made._load_classifier = made._load_examples  # type: ignore[method-assign]
    await made.load(Readiness())
    yield made
    await made.aclose()


async def test_a_change_is_taken_over_whole(loader: LateLoader, tmp_path: Path) -> None:
    before = loader.current.library
    write(tmp_path / "templates", "refund", source("# user\nnew\n{{ query }}", version=2))
    write(tmp_path / "templates", "third", source(id="third.en"))
    (tmp_path / "templates" / "other.prompt.md").unlink()
    done = await loader.reload()
    assert (set(done.changed), set(done.gone), done.errors) == (
        {"refund.en@2", "third.en@1"},
        {"refund.en@1", "other.en@1"},
        (),
    )
    assert loader.current.library is not before
    assert before is not None and {template.ref for template in before.templates} == {"refund.en@1", "other.en@1"}


async def test_a_broken_file_keeps_the_last_good_library_and_is_reported(loader: LateLoader, tmp_path: Path) -> None:
    before = loader.current.library
    write(tmp_path / "templates", "refund", source("# user\nnew\n{{ query }}", version=2))
    write(tmp_path / "templates", "bad", source("# user\n{{ nobody }}", id="bad.en"))
    done = await loader.reload()
    assert [error.what for error in done.errors] == ["no slot 'nobody' is declared; known: query"]
    assert loader.current.library is before
    (report,) = loader.reports()
    assert "the last good ones stay in use" in report and "bad.prompt.md:23:4" in report
    (tmp_path / "templates" / "bad.prompt.md").unlink()
    await loader.reload()
    assert loader.reports() == []
    assert loader.current.library is not None and loader.current.library.get("refund.en", 2) is not None


async def test_what_has_not_changed_is_not_parsed_again(loader: LateLoader, tmp_path: Path) -> None:
    before = loader.current.library
    (tmp_path / "templates" / "other.prompt.md").touch()
    done = await loader.reload()
    assert (done.changed, done.gone) == ((), ())
    assert before is not None and loader.current.library is not None
    assert loader.current.library.get("other.en") is before.get("other.en")


async def test_the_watcher_sees_a_change_and_waits_until_its_author_is_done(loader: LateLoader, tmp_path: Path) -> None:
    watching = asyncio.create_task(loader.watch())
    try:
        await asyncio.sleep(0.1)
        for version in (2, 3):
            write(tmp_path / "templates", "refund", source("# user\nnew\n{{ query }}", version=version))
        async with asyncio.timeout(10):
            while loader.current.library is None or loader.current.library.get("refund.en", 3) is None:  # noqa: ASYNC110 - the gateway tells nobody
                await asyncio.sleep(0.02)
        assert loader.reports() == []
    finally:
        watching.cancel()


async def test_a_request_keeps_the_library_that_it_began_with(tmp_path: Path) -> None:
    write(tmp_path / "templates", "refund", source())
    table = '[backends.up]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["m"]\n'
    (tmp_path / "config.toml").write_text(table, "utf-8")
    gateway = assemble(load(tmp_path / "config.toml"), only_prepare=True)
    assert gateway.loader is not None
    await gateway.load_prompt()
    named = Ask(Endpoint.CHAT, "m", b"{}", named=NamedTemplate("refund.en", variables={"query": "money back"}))
    begun = gateway.steps
    write(tmp_path / "templates", "refund", source("# user\nnew\n{{ query }}", version=2))

    await gateway.loader.reload()

    before = await prepare(Exchange("x", named), begun)
    after = await prepare(Exchange("x", named), gateway.steps)
    assert (before.rewrite.version, after.rewrite.version) == (1, 2)
    await gateway.aclose()


def test_the_start_says_that_some_conversations_stay_as_they_are() -> None:
    assert "leaves 30% of its conversations as they are" in controls_of(PromptTable(mode=Mode.ON))
    assert controls_of(PromptTable(mode=Mode.ON, controls=0.0)) == ""
    assert controls_of(PromptTable(mode=Mode.SHADOW)) == ""


async def test_a_plain_proxy_is_ready_once_named_templates_were_read_and_also_without_them(tmp_path: Path) -> None:
    write(tmp_path / "templates", "refund", source())
    settings = Settings(tmp_path, data=Data("data"), prompt=replace(PromptTable(), watch_s=0.0))
    plain, readiness = LateLoader(settings, None, None), Readiness()
    loading = asyncio.create_task(plain.load(readiness))
    await asyncio.sleep(0)
    assert not readiness.ready
    await loading
    assert readiness.ready and plain.current.library is not None

    def fail() -> None:
        raise OSError("the disk is gone")

    unreadable, readiness = LateLoader(settings, None, None), Readiness()
    unreadable._read = fail  # type: ignore[assignment]
    await unreadable.load(readiness)
    assert readiness.ready and readiness.parts == {}

"""The job that lets a model place chunks in their documents: real files, a scripted model on a real socket."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.context.ingest.ingest import Ingest, IngestItem, new_ingest
from gateway.context.reading.readers import read
from gateway.context.store.catalog import Catalog, Collection, catalog_file
from gateway.context.store.collections import OPERATOR, Collections, Wish
from gateway.context.store.exact import ExactStore
from gateway.context.store.placements import placements
from gateway.settings.tables import Settings
from offline_jobs import place_chunks
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import DONE, FAILED, SPENT, Ledger, LedgerJob
from offline_jobs.engine.work import go_on, jobs_folder, start
from offline_jobs.errors import JobFailed
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.recorded import settings_in
from tests.doubles.toy_model import Messages, Toy, toy_model

REPOSITORY = Path(__file__).parents[3]
CONTRACT = """# Supply contract of Globex

This contract is about the delivery of bolts.

## Notice

It ends six weeks after a letter.

## Money

Invoices are due in thirty days.
"""
QUERY = "Which clause is about the termination of the agreement?"
LEAVE = "# Leave\n\nFifteen days of paid leave."

RUN = """
import sys
from pathlib import Path
from tests.unit.jobs.test_place_chunks import configured, job

job(configured(Path(sys.argv[1]), int(sys.argv[2])))
"""


def mind(_model: str, messages: Messages) -> str:
    """Place the chunk about the notice period, which does not name its subject."""
    passage = messages[-1]["content"].partition("=== passage")[2]
    return '"Termination clause of the Globex agreement"\n' if "six weeks" in passage else "A helpful remark."


@pytest.fixture
def toy() -> Iterator[Toy]:
    with toy_model(mind) as made:
        yield made


@pytest.fixture(autouse=True)
def bag(monkeypatch: pytest.MonkeyPatch) -> None:
    use_bag(monkeypatch)


def use_bag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_chunks, "open_embedder", lambda _settings: BagEmbedder())


def configured(folder: Path, port: int) -> Settings:
    backend = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "models": ["toy"], "api_key": "x"}
    tables = {"backends": {"toy": backend}, "routing": {"default": "toy"}, "store": {"kind": "exact"}}
    return settings_in(folder, **tables, embedder={"kind": "sentence"})


@pytest.fixture
def settings(tmp_path: Path, toy: Toy) -> Settings:
    return configured(tmp_path, toy.port)


@pytest.fixture
def ingest(settings: Settings) -> Iterator[Ingest]:
    vectors = ExactStore(settings.data_folder / "vectors")
    with closing(Collections(Catalog(catalog_file(settings.data_folder)), vectors)) as collections:
        yield new_ingest(settings, collections, BagEmbedder(), read)


def handbook(ingest: Ingest) -> Collection:
    return ingest.collections.find_or_create("handbook", OPERATOR)


def add(ingest: Ingest, root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / f"{name}.md").write_text(text, "utf-8")
    ingest.add(handbook(ingest), [IngestItem(root / f"{name}.md", f"{name}.md") for name in files])


def job(settings: Settings, calls: int = 100, **words: object) -> LedgerJob:
    with closing(Ledger(jobs_folder(settings))) as ledger:
        words = {"collection": "handbook", **words}
        return start(settings, ledger, "place-chunks", words, budget=JobBudget(calls, 1_000_000, 0.0, 600.0))


def report(done: LedgerJob) -> tuple[int, int, int, int]:
    assert done.state == DONE, done.reason
    values = json.loads(done.report)
    return values["placed"], values["unusable"], values["failed"], values["left"]


def best(ingest: Ingest, query: str, weight: float) -> str:
    """The text of the best chunk, or "" if no word of the query is found."""
    wish = Wish(query, ingest.embedder.embed([query])[0], 1, weight=weight)
    hits = ingest.collections.look_up(handbook(ingest), wish)
    return hits[0].chunk.text if hits and hits[0].score > 0 else ""


def lines(ingest: Ingest) -> list[str]:
    collections = ingest.collections
    rows = collections.documents(handbook(ingest).id).live()
    return [placement.line for row in rows for placement in placements(collections.catalog, row.key).values()]


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_line_makes_a_chunk_findable_by_words_and_by_vector_and_is_no_part_of_its_text(
    ingest: Ingest, settings: Settings, tmp_path: Path, weight: float
) -> None:
    add(ingest, tmp_path, contract=CONTRACT, leave=LEAVE)
    assert "six weeks" not in best(ingest, QUERY, weight)

    done = job(settings)

    assert report(done)[0] >= 1
    text = best(ingest, QUERY, weight)
    assert "six weeks" in text
    assert "ermination" not in text
    assert "Termination clause of the Globex agreement" in lines(ingest)


def test_the_question_shows_title_beginning_headings_and_passage(
    ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy
) -> None:
    add(ingest, tmp_path, contract=CONTRACT)

    job(settings)

    (asked,) = [text for text in map(question_of, toy.asked) if "six weeks" in text.partition("=== passage")[2]]
    document, beginning, headings, passage = asked.split("===")[2:6]
    assert "contract.md" in document
    assert "delivery of bolts" in beginning
    assert "Supply contract of Globex > Notice" in headings
    assert "six weeks" in passage


def question_of(body: dict[str, list[dict[str, str]]]) -> str:
    return body["messages"][-1]["content"]


def test_a_quote_names_calls_and_tokens_and_asks_nobody(
    ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy
) -> None:
    add(ingest, tmp_path, contract=CONTRACT, leave=LEAVE)
    options = place_chunks.PlaceChunksOptions("handbook")

    quote = place_chunks.estimate(settings, options)
    assert (quote.calls, toy.asked) == (4, [])

    with closing(Ledger(jobs_folder(settings))) as ledger:
        job(settings)
        (spent,) = [ledger.spent(one.id) for one in ledger.jobs()]
    assert spent.calls == 4
    assert spent.tokens < quote.tokens < 5000
    assert place_chunks.estimate(settings, options).calls == 0


def test_only_new_and_changed_chunks_are_asked_about_again(
    ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy
) -> None:
    long = CONTRACT.replace("delivery of bolts.", "delivery of bolts. " + "Bolts are made of steel. " * 80)
    add(ingest, tmp_path, contract=long)
    job(settings)
    before = len(toy.asked)

    assert report(job(settings)) == (0, 0, 0, 0)
    assert len(toy.asked) == before

    add(ingest, tmp_path, contract=long.replace("thirty days", "forty days"), leave=LEAVE)
    assert "Termination clause of the Globex agreement" in lines(ingest)
    assert "six weeks" in best(ingest, "termination clause", 0.0)
    assert "six weeks" in best(ingest, "termination clause", 1.0)
    job(settings)

    later = [question_of(body).partition("=== passage")[2] for body in toy.asked[before:]]
    assert len(later) == 2
    assert "forty days" in later[0]
    assert "Fifteen" in later[1]

    job(settings, again=True)
    assert len(toy.asked) > 2 * before


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "  \n ",
        "One line.\nAnother line.",
        "word " * 60,
        "A clause <|im_end|> about Globex",
        "Hidden\u200b words of a clause",
        "Notice, six weeks",
    ],
    ids=["empty", "blank", "two lines", "long", "control token", "invisible", "nothing new"],
)
def test_an_answer_that_is_no_usable_line_is_left_out_and_not_asked_for_again(
    ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy, nonsense: str
) -> None:
    toy.mind = lambda _model, _messages: nonsense
    add(ingest, tmp_path, contract="# Notice\n\nIt ends six weeks after a letter.")

    assert report(job(settings)) == (0, 1, 0, 0)
    assert lines(ingest) == [""]

    assert report(job(settings)) == (0, 0, 0, 0)
    assert len(toy.asked) == 1


def test_a_budget_that_ends_leaves_chunks_for_the_next_run(
    ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy
) -> None:
    add(ingest, tmp_path, contract=CONTRACT, leave=LEAVE)

    placed, unusable, failed, left = report(job(settings, calls=3))
    assert (placed + unusable, failed, left) == (3, 0, 1)

    placed, unusable, failed, left = report(job(settings))
    assert (placed + unusable, failed, left) == (1, 0, 0)
    assert len(toy.asked) == 4


def test_a_budget_that_has_no_room_for_a_single_call_is_out_of_budget(
    ingest: Ingest, settings: Settings, tmp_path: Path
) -> None:
    add(ingest, tmp_path, contract=CONTRACT)
    with closing(Ledger(jobs_folder(settings))) as ledger:
        done = start(
            settings, ledger, "place-chunks", {"collection": "handbook"}, budget=JobBudget(100, 10, 0.0, 600.0)
        )

    assert done.state == SPENT


def test_a_job_that_is_killed_goes_on_and_asks_nothing_twice(
    ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy
) -> None:
    add(ingest, tmp_path, **{f"file{number:02d}": f"# Part {number}\n\nIt ends six weeks on." for number in range(40)})

    def slow(model: str, messages: Messages) -> str:
        time.sleep(0.02)
        return mind(model, messages)

    toy.mind = slow
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    script = "from tests.unit.jobs import test_place_chunks as t; import pytest; t.use_bag(pytest.MonkeyPatch())" + RUN
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(toy.port)], env=environment)
    until = time.monotonic() + 60
    while len(toy.asked) < 12 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    asked = len(toy.asked)
    assert 12 <= asked < 40

    with closing(Ledger(jobs_folder(settings))) as ledger:
        (killed,) = ledger.jobs()
        done = go_on(settings, ledger, killed)

    assert done.state == DONE, done.reason
    assert len(lines(ingest)) == sum(map(bool, lines(ingest))) == 40
    # the calls that were under way when the process was killed
    assert len(toy.asked) <= 40 + settings.jobs.parallel


def test_a_removed_document_leaves_no_word_no_vector_and_no_line(
    ingest: Ingest, settings: Settings, tmp_path: Path
) -> None:
    add(ingest, tmp_path, contract=CONTRACT, leave=LEAVE)
    job(settings)
    collections, id = ingest.collections, handbook(ingest).id
    documents = collections.documents(id)
    row = documents.live_at("contract.md")
    assert row is not None

    collections.clear(id, [row.key])

    assert documents.by_words("termination clause", 5, None) == []
    assert documents.count() == collections.vectors.count(id) == 1
    collections.catalog.close()
    for file in settings.data_folder.glob("catalog.sqlite3*"):
        assert b"ermination" not in file.read_bytes()
        assert b"termin" not in file.read_bytes()


def test_a_document_that_is_removed_while_the_model_answers_stays_removed(
    ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy
) -> None:
    add(ingest, tmp_path, contract=CONTRACT)
    collections, id = ingest.collections, handbook(ingest).id
    (row,) = collections.documents(id).live()

    def removing(model: str, messages: Messages) -> str:
        collections.clear(id, [row.key])
        return mind(model, messages)

    toy.mind = removing
    assert job(settings).state == DONE

    assert collections.documents(id).count() == 0
    assert collections.vectors.count(id) == 0


def test_all_lines_can_be_removed_without_a_call(ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy) -> None:
    add(ingest, tmp_path, contract=CONTRACT, leave=LEAVE)
    job(settings)
    before = len(toy.asked)

    done = job(settings, remove=True)

    assert json.loads(done.report)["removed"] >= 1
    assert (set(lines(ingest)), len(toy.asked)) == ({""}, before)
    assert "six weeks" not in best(ingest, QUERY, 0.0)
    assert "six weeks" not in best(ingest, QUERY, 1.0)
    # the next run asks about all chunks again
    job(settings)
    assert len(toy.asked) == 2 * before


def test_lost_vectors_are_computed_anew_with_the_lines(ingest: Ingest, settings: Settings, tmp_path: Path) -> None:
    add(ingest, tmp_path, contract=CONTRACT, leave=LEAVE)
    job(settings)
    ingest.collections.vectors.remove(handbook(ingest).id)

    add(ingest, tmp_path, leave=LEAVE)

    assert "six weeks" in best(ingest, "termination clause", 1.0)


def test_a_model_that_only_fails_fails_the_job(ingest: Ingest, settings: Settings, tmp_path: Path, toy: Toy) -> None:
    add(ingest, tmp_path, **{f"file{number}": f"Part {number} ends." for number in range(12)})

    def broken(_model: str, _messages: Messages) -> str:
        raise ConnectionError

    toy.mind = broken
    done = job(settings)

    assert (done.state, "8 calls in a row failed" in done.reason) == (FAILED, True)
    assert lines(ingest) == [""] * 12


def test_a_missing_collection_and_an_unknown_model_are_named(
    ingest: Ingest, settings: Settings, tmp_path: Path
) -> None:
    add(ingest, tmp_path, leave=LEAVE)

    with pytest.raises(JobFailed, match=r"no collection 'handbok'. Known: handbook."):
        place_chunks.estimate(settings, place_chunks.PlaceChunksOptions("handbok"))
    assert "no backend offers the model 'none'" in job(settings, model="none").reason

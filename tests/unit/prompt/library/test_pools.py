"""The nearest examples of a pool: right, in order, fast, and embedded once."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import TemplateError
from gateway.exchange import Chunk
from gateway.ports import Vectors
from gateway.prompt.library.pools import EmbeddedPool, PoolRows, Pools, load_pools, of_chunks, read_pool
from gateway.prompt.templates.fields import ExamplePool, Shot
from gateway.prompt.templates.parse import parse
from gateway.prompt.templates.template import Template
from tests.doubles.templates import source, write

ROWS = [
    {"text": "lost my card", "label": "lost"},
    {"text": "card stolen", "label": "lost"},
    {"text": "top up failed", "label": "topup"},
    {"text": "close my account", "label": "close"},
]


def words(texts: Sequence[str]) -> Vectors:
    """A real if simple embedder: hashed words, length 1."""
    vectors = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vectors[row, zlib.crc32(word.encode()) % 64] += 1
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)


class Counting:
    """Counts the texts that were embedded."""

    def __init__(self) -> None:
        self.texts = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        return words(texts)


def pooled(folder: Path, rows: Sequence[object] = ROWS, more: str = "k: 2") -> Template:
    (folder / "pool.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    head = f"slots: {{text: payload}}\nexamples: {{pool: pool.jsonl, as: turns, {more}}}\n"
    path = write(folder, "intent", source("# user\n{{ text }}", more=head))
    return parse(path.read_text("utf-8"), str(path))


def load(template: Template, cache: Path, embed: Counting | None = None) -> Pools:
    pools, errors = load_pools([template], embed or words, "words", cache, len)
    assert errors == []
    return pools


def nearest(template: Template, pools: Pools, text: str, k: int = 0) -> list[str]:
    pool = pools.of(template)
    assert pool is not None
    return [shot.input for shot in pool.nearest(words([text])[0], k)]


def test_the_nearest_come_and_the_most_similar_is_last(tmp_path: Path) -> None:
    read = pooled(tmp_path)
    pools = load(read, tmp_path / "cache")
    assert nearest(read, pools, "i lost my card") == ["card stolen", "lost my card"]
    assert nearest(read, pools, "close my account now", 1) == ["close my account"]
    assert len(nearest(read, pools, "x", 64)) == 4


def test_equally_near_rows_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [{"text": f"card {name}", "label": name} for name in "abcdef"]
    read = pooled(tmp_path, rows, "k: 3")
    assert nearest(read, load(read, tmp_path), "card") == ["card c", "card b", "card a"]


def test_an_input_that_is_there_twice_fills_one_place(tmp_path: Path) -> None:
    read = pooled(tmp_path, [ROWS[0], ROWS[0], ROWS[1]])
    assert nearest(read, load(read, tmp_path), "lost my card") == ["card stolen", "lost my card"]


def test_balanced_gives_no_output_more_than_its_share(tmp_path: Path) -> None:
    rows = [{"text": f"lost card {n}", "label": "lost"} for n in range(6)] + [{"text": "hello", "label": "greet"}]
    plain, fair = pooled(tmp_path, rows, "k: 2"), pooled(tmp_path, rows, "k: 2, balanced: true")
    assert nearest(plain, load(plain, tmp_path), "lost card") == ["lost card 1", "lost card 0"]
    assert nearest(fair, load(fair, tmp_path), "lost card") == ["hello", "lost card 0"]
    more = pooled(tmp_path, rows, "k: 5, balanced: true")
    assert len(nearest(more, load(more, tmp_path), "lost card")) == 5


def test_a_pool_is_embedded_once_for_the_same_content_and_embedder(tmp_path: Path) -> None:
    embed = Counting()
    read = pooled(tmp_path)
    first = load(read, tmp_path / "cache", embed)
    assert embed.texts == 4
    again = load(read, tmp_path / "cache", embed)
    assert embed.texts == 4
    assert nearest(read, again, "card stolen") == nearest(read, first, "card stolen")
    load_pools([read], embed, "another embedder", tmp_path / "cache", len)
    assert embed.texts == 8
    changed = pooled(tmp_path, [*ROWS, {"text": "new", "label": "x"}])
    load(changed, tmp_path / "cache", embed)
    assert embed.texts == 13


def test_a_broken_cache_file_is_made_anew(tmp_path: Path) -> None:
    read = pooled(tmp_path)
    load(read, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*.npy")
    file.write_bytes(b"half a file")
    assert nearest(read, load(read, tmp_path / "cache"), "card stolen", 1) == ["card stolen"]


def test_two_templates_share_a_pool_but_not_its_settings(tmp_path: Path) -> None:
    one, two = pooled(tmp_path, more="k: 1"), pooled(tmp_path, more="k: 3")
    embed = Counting()
    pools, _ = load_pools([one, two], embed, "words", tmp_path / "cache", len)
    assert embed.texts == 4
    assert [len(nearest(read, pools, "card")) for read in (one, two)] == [1, 3]


def test_a_token_budget_leaves_the_farthest_out(tmp_path: Path) -> None:
    read = pooled(tmp_path, more="k: 3, budget_tokens: 40")
    assert nearest(read, load(read, tmp_path), "i lost my card") == ["card stolen", "lost my card"]
    tight = pooled(tmp_path, more="k: 3, budget_tokens: 5")
    assert nearest(tight, load(tight, tmp_path), "i lost my card") == []


def test_chunks_of_a_collection_are_examples_with_the_output_on_the_last_line() -> None:
    chunks = [
        Chunk(f"c{n}", "tickets", "t.md", text, tokens=5)
        for n, text in enumerate(["lost it\nlost", "alone", "a\nb\nx"])
    ]
    near = of_chunks(chunks, ExamplePool(collection="tickets", k=2))
    assert near == (Shot("a\nb", "x", "c2"), Shot("lost it", "lost", "c0"))
    assert of_chunks(chunks, ExamplePool(collection="tickets", k=2, budget_tokens=6)) == (
        Shot("lost it", "lost", "c0"),
    )


def test_labels_and_ids_come_from_the_file(tmp_path: Path) -> None:
    rows = read_pool(pooled(tmp_path))
    assert rows.labels == ("close", "lost", "topup")
    assert rows.shots[2] == Shot("top up failed", "topup", "pool.jsonl:3")


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ('{"text": "a", "label": "b"}\n{"text": "a"}\n', "has no field 'label'", 2),
        ('{"text": "a", "label": "b"}\n\nnot json\n', "is not a JSON object", 3),
        ("[1]\n", "is not a JSON object", 1),
        ("\n", "the pool has no examples", 1),
    ],
)
def test_a_broken_pool_is_reported_with_its_line(tmp_path: Path, text: str, what: str, line: int) -> None:
    read = pooled(tmp_path)
    (tmp_path / "pool.jsonl").write_text(text)
    pools, errors = load_pools([read], words, "words", tmp_path / "cache", len)
    assert pools.of(read) is None
    assert what in errors[0].what
    assert (errors[0].file, errors[0].line) == (str(tmp_path / "pool.jsonl"), line)


def test_a_pool_that_is_not_there_is_reported_where_the_template_names_it(tmp_path: Path) -> None:
    read = pooled(tmp_path)
    (tmp_path / "pool.jsonl").unlink()
    with pytest.raises(TemplateError, match=r"the pool pool\.jsonl cannot be read") as raised:
        read_pool(read)
    assert (raised.value.file, raised.value.line) == (read.file, 22)


def test_of_many_rows_the_nearest_are_those_of_a_full_sort() -> None:
    vectors = np.random.default_rng(0).normal(size=(5_000, 32)).astype(np.float32)
    pool = EmbeddedPool(PoolRows(tuple(Shot(str(n), "x") for n in range(5_000)), ("x",)), vectors, 8, balanced=False)
    order = np.argsort(-(vectors @ vectors[17]), kind="stable")
    assert [shot.input for shot in pool.nearest(vectors[17])] == [str(index) for index in reversed(order[:8])]

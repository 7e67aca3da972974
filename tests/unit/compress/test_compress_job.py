"""A tiny model is compressed, published, listed, served and removed."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from gateway.adapters import Parts, build_adapter
from gateway.ask import Endpoint
from gateway.backends.local import variants
from gateway.backends.local.gguf.blocks import read_values
from gateway.backends.local.gguf.tensors import read_gguf
from gateway.backends.local.llamacpp import LlamaCpp
from gateway.backends.local.stored import stored_path
from gateway.cli.engines.commands import engines
from gateway.settings.read import load
from offline_jobs.cli.engines import bench, compress, store
from offline_jobs.compress.measuring.measure import losses_of
from offline_jobs.engine.ledger import Ledger
from tests.doubles import tiny_families
from tests.doubles.asking import asked, body

SMALL = ["windows=2", "evaluated=2", "window_tokens=64"]


class Place:
    """A folder with a model, a text and a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = tiny_families.folder(folder / "tiny", "llama")
        self.text = tiny_families.text_file(folder / "text.txt")
        self.config = folder / "config.toml"
        self.config.write_text("")

    def compress(self, scheme: str, *options: str, source: str = "", exit_code: int = 0) -> str:
        words = [option for word in SMALL for option in ("--set", word)]
        command = [source or str(self.model), "--scheme", scheme, "--text", str(self.text), *words, *options]
        done = CliRunner().invoke(compress, [*command, "--config", str(self.config)])
        assert done.exit_code == exit_code, done.output
        return done.output

    def engines(self, *words: str, exit_code: int = 0) -> str:
        done = CliRunner().invoke(engines, [*words, "--config", str(self.config)])
        assert done.exit_code == exit_code, done.output
        return done.output

    @property
    def stored(self) -> list[str]:
        return sorted(path.name for path in variants.variants_folder(self.folder / "data").glob("*"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    torch.set_num_threads(1)
    made = Place(tmp_path_factory.mktemp("compress"))
    made.compress("int8-channel+kv-int8", "--name", "small", "--set", "searched=false")
    yield made


def test_a_variant_is_a_folder_with_a_model_and_a_manifest(place: Place) -> None:
    manifest = json.loads(place.engines("show", "small"))
    assert manifest["scheme"] == ["int8-channel", "kv-int8"] and manifest["cache"] == "q8_0"
    assert manifest["tensors"]["blk.0.attn_q.weight"] == "Q8_0/64"
    assert manifest["bytes"] < 0.62 * manifest["bytes_f16"]
    assert abs(manifest["after"]["llamacpp"] / manifest["after"]["torch"] - 1) < 0.01
    assert manifest["calibration"]["tokens"] == manifest["evaluation"]["tokens"] == 128
    assert manifest["speeds"]["read"] > 0
    assert any("int8, 32 numbers at a time" in note for note in manifest["notes"])


def test_variants_are_listed_compared_and_measured(place: Place, tmp_path: Path) -> None:
    assert "small" in place.engines("list")
    assert "128 tokens of text" in place.engines("compare", "--plot", str(tmp_path / "plot.png"))
    assert (tmp_path / "plot.png").stat().st_size > 1000
    done = CliRunner().invoke(bench, ["small", "--runs", "1", "--json", "--config", str(place.config)])
    assert json.loads(done.output)["write_8"] > 0


def test_a_variant_answers_through_the_gateways_backend(place: Place) -> None:
    """Without torch: the file and the manifest are enough."""
    config = place.folder / "serve.toml"
    config.write_text('[backends.local]\nkind = "llamacpp"\nname = "tiny"\nvariant = "small"\nanswer_tokens = 4\n')
    settings = load(config)
    problems: list[Any] = []
    backend = build_adapter("backends", "local", settings.backends["local"], Parts(settings), problems)
    assert isinstance(backend, LlamaCpp) and not problems
    assert backend._options().int8_cache

    async def answer() -> Any:
        await backend.open()
        try:
            hello = asked(Endpoint.CHAT, messages=[{"role": "user", "content": "The river"}])
            return json.loads(await body(await backend.send(hello, "tiny", ())))
        finally:
            await backend.aclose()

    answered = asyncio.run(answer())
    assert answered["usage"]["completion_tokens"] > 0


def test_a_variant_that_the_configuration_names_is_not_removed(place: Place) -> None:
    place.config.write_text('[backends.local]\nkind = "llamacpp"\nname = "tiny"\nvariant = "small"\n')
    try:
        assert "used by [backends.local]" in place.engines("remove", "small", exit_code=1)
    finally:
        place.config.write_text("")
    assert "small" in place.stored


def test_a_changed_file_is_not_served(place: Place, tmp_path: Path) -> None:
    stored = variants.stored_variant(place.folder / "data", "small")
    variants.check_digest(stored)
    whole = stored.model.read_bytes()
    stored.model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(variants.NoSuchVariant, match="changed after it was measured"):
            variants.check_digest(stored)
    finally:
        stored.model.write_bytes(whole)


def test_pruning_and_quantization_go_together(place: Place) -> None:
    place.compress("sparsegpt+int8-channel", "--name", "sparse", "--allow", "60", "--set", "sparsity=2:4")
    manifest = json.loads(place.engines("show", "sparse"))
    assert manifest["zeros"] == pytest.approx(0.5, abs=0.02)
    assert manifest["limit"] == 0.6
    assert "removed" in place.engines("remove", "sparse")
    assert "sparse" not in place.stored


def test_a_bad_variant_is_not_published(place: Place) -> None:
    output = place.compress("magnitude+int4-group", "--name", "bad", "--set", "sparsity=0.9", exit_code=1)
    assert "perplexity rises by" in output and "--allow" in output
    assert place.stored == ["small"]


def test_a_scheme_that_changes_nothing_is_found_out(place: Place) -> None:
    model = variants.stored_variant(place.folder / "data", "small").model
    output = place.compress("int8-channel", "--name", "same", "--set", "searched=false", source=str(model), exit_code=1)
    assert "changed nothing" in output
    assert place.stored == ["small"]


def test_a_dry_run_shows_sizes_and_time_and_writes_nothing(place: Place) -> None:
    output = place.compress("int4-group", "--dry-run")
    assert "million weights" in output and "minutes" in output
    assert place.stored == ["small"]


def test_wrong_input_is_refused_before_the_work(place: Place, tmp_path: Path) -> None:
    foreign = tmp_path / "model.gguf"
    foreign.write_bytes(b"PK\x03\x04")
    assert "is not a GGUF model" in place.compress("int8-channel", source=str(foreign), exit_code=1)
    assert "fetch the file again" in place.compress("int8-channel", "--set", "sha256=" + "0" * 64, exit_code=1)
    assert "already" in place.compress("int8-channel", "--name", "small", exit_code=1)
    whole = variants.stored_variant(place.folder / "data", "small").model.read_bytes()
    foreign.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in place.compress("int8-channel", source=str(foreign), exit_code=1)


def test_what_llamacpp_refuses_is_refused_before_the_work(place: Place, tmp_path: Path) -> None:
    """Qwen2 with heads that are wider than its states allow."""
    odd = tiny_families.folder(tmp_path / "odd", "qwen2", hidden_size=64)
    output = place.compress("int8-channel", source=str(odd), exit_code=1)
    assert "llama.cpp refuses" in output and "wrong shape" in output
    assert place.stored == ["small"]


def test_a_full_disk_is_refused_before_the_work(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from offline_jobs.compress import room

    monkeypatch.setattr(room, "SPARE", 1e12)
    assert "MB are needed" in place.compress("int8-channel", "--name", "huge", exit_code=1)


def test_a_killed_job_resumes_with_the_layers_that_it_finished(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is cancelled in its second layer, and run again."""
    from offline_jobs.compress.methods import prune

    pruned: list[int] = []
    whole = prune.prune_matrix

    def counted(*given: Any) -> None:
        pruned.append(1)
        if len(pruned) == 10:  # the second layer's third matrix
            raise KeyboardInterrupt
        whole(*given)

    monkeypatch.setattr(prune, "prune_matrix", counted)
    with pytest.raises(AssertionError):
        place.compress("wanda+int8-channel", "--name", "resumed", "--allow", "60")
    assert place.stored == ["small"]
    place.compress("wanda+int8-channel", "--name", "resumed", "--allow", "60", "--continue")
    assert len(pruned) == 10 + 7
    place.engines("remove", "resumed")
    ledger = Ledger(place.folder / "data" / "jobs")
    try:
        folder = ledger.folder / ledger.jobs(1)[0].id
    finally:
        ledger.close()
    assert not list(folder.glob("*.safetensors"))


def test_a_killed_training_on_the_grid_publishes_nothing_and_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled in its second layer. After that the variant is the one of a job that nobody cancelled."""
    from offline_jobs.compress.methods import blocks

    options = ("--allow", "60", "--set", "layer_steps=8", "--set", "steps=4")
    place.compress("int4-group+qat", "--name", "whole", *options)
    trained: list[int] = []
    train = blocks._train

    def counted(*given: Any) -> tuple[float, float]:
        trained.append(1)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*given)

    monkeypatch.setattr(blocks, "_train", counted)
    with pytest.raises(AssertionError):
        place.compress("int4-group+qat", "--name", "resumed", *options)
    assert place.stored == ["small", "whole"]
    place.compress("int4-group+qat", "--name", "resumed", *options, "--continue")
    assert len(trained) == 3
    folder = place.folder / "data"
    whole, resumed = (variants.stored_variant(folder, name).model.read_bytes() for name in ("whole", "resumed"))
    assert whole == resumed
    manifest = json.loads(place.engines("show", "resumed"))
    assert manifest["tensors"]["blk.0.ffn_up.weight"] == "Q4_0/32"
    assert abs(manifest["after"]["llamacpp"] / manifest["after"]["torch"] - 1) < 0.01
    for name in ("whole", "resumed"):
        place.engines("remove", name)


def test_a_model_is_stored_once_in_q8_0(place: Place, tmp_path: Path) -> None:
    """A Q4_0 model: every value within half a step, everything else as it was."""
    place.compress("int4-group", "--name", "four", "--allow", "60")
    source = variants.stored_variant(place.folder / "data", "four").model
    done = CliRunner().invoke(store, [str(source), "--config", str(place.config)])
    target = stored_path(source, place.folder / "data")
    assert done.output.strip() == str(target)
    before, after = read_gguf(source), read_gguf(target)
    for name, tensor in before.tensors.items():
        other = after.tensors[name]
        if len(tensor.shape) == 2:
            assert other.type == 8
            one, two = (read_values(each.type, each.data, each.shape) for each in (tensor, other))
            assert abs(one - two).max() <= abs(one).max() / 127
        else:
            assert bytes(other.data) == bytes(tensor.data)
    assert losses_of(target, [list(range(40, 80))], lambda: None)
    place.engines("remove", "four")

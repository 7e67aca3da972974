"""The copy of a model in Q8_0: written once, whole or not at all, by whichever process is first."""

import logging
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gateway.backends.local import llamacpp, stored
from gateway.backends.local.gguf import blocks, q8_0
from gateway.backends.local.gguf.metadata import read
from gateway.backends.local.gguf.tensors import TensorSpec, read_gguf, texts, write_gguf
from gateway.backends.local.gguf.tensors import text as text_pair
from gateway.backends.local.llamacpp import LlamaCpp, LlamaCppSettings
from gateway.backends.local.stored import CannotStore, stored_copy, stored_path

ROWS, COLUMNS = 96, 64


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file with a matrix in Q4_1, one in float16, one that does not divide into blocks, and a vector."""
    return written(tmp_path / "model.Q4_1.gguf", seed=1)


def written(path: Path, seed: int) -> Path:
    random = np.random.default_rng(seed)
    coded = blocks.Coded(
        blocks.Q4_1,
        random.integers(0, 16, (ROWS, COLUMNS)).astype(np.int8),
        random.random((ROWS, COLUMNS // 32)).astype(np.float16),
        random.normal(size=(ROWS, COLUMNS // 32)).astype(np.float16),
    )
    tensors = [
        (TensorSpec("a.weight", (ROWS, COLUMNS), blocks.Q4_1), blocks.packed(coded)),
        (TensorSpec("b.weight", (ROWS, COLUMNS), blocks.F16), random.normal(size=(ROWS, COLUMNS)).astype(np.float16)),
        (TensorSpec("odd.weight", (4, 33), blocks.F32), random.normal(size=(4, 33)).astype(np.float32)),
        (TensorSpec("norm.weight", (COLUMNS,), blocks.F32), random.normal(size=COLUMNS).astype(np.float32)),
    ]
    pairs = {"general.architecture": text_pair("llama"), "tokenizer.ggml.tokens": texts([b"a", b"\xff"])}
    write_gguf(path, pairs, [spec for spec, _ in tensors], [data for _, data in tensors])
    return path


def test_matrices_are_rounded_to_blocks_of_8_bits_and_the_rest_stays(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(q8_0, "NUMBERS", 7 * COLUMNS)  # several parts, and the last one is shorter
    q8_0.write_q8_0(source, tmp_path / "copy.gguf")

    before, after = read_gguf(source), read_gguf(tmp_path / "copy.gguf")
    assert {name: tensor.type for name, tensor in after.tensors.items()} == {
        "a.weight": blocks.Q8_0,
        "b.weight": blocks.Q8_0,
        "odd.weight": blocks.F32,
        "norm.weight": blocks.F32,
    }
    for name, tensor in before.tensors.items():
        now, was = (blocks.read_values(each.type, each.data, each.shape) for each in (after.tensors[name], tensor))
        step = np.abs(was).max(-1, keepdims=True) / 127
        assert np.all(np.abs(now - was) <= (step * 0.51 if after.tensors[name].type == blocks.Q8_0 else 0))
    assert read(tmp_path / "copy.gguf") == read(source)


def test_the_copy_is_written_once_and_a_changed_source_gets_a_new_one(source: Path, tmp_path: Path) -> None:
    first = stored_copy(source, tmp_path / "data")
    written_ns = first.stat().st_mtime_ns
    assert (stored_copy(source, tmp_path / "data"), first.stat().st_mtime_ns) == (first, written_ns)

    written(source, seed=2)
    second = stored_copy(source, tmp_path / "data")
    assert second != first
    assert not np.array_equal(*(read_gguf(file).tensors["a.weight"].data for file in (first, second)))


def test_several_processes_that_start_together_write_one_file(source: Path, tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from gateway.backends.local.stored import stored_copy;"
    command = [sys.executable, "-c", program + "print(stored_copy(*map(Path, sys.argv[1:])))", str(source)]
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(subprocess.check_output, [*command, str(tmp_path / "data")], text=True) for _ in range(3)]
        files = {Path(run.result().strip()) for run in runs}
    (file,) = files
    assert q8_0.is_whole(file)
    assert [each for each in file.parent.iterdir() if not each.name.startswith(".")] == [file]


@pytest.mark.parametrize("left", [0, 3, 100, -40])
def test_a_copy_that_was_cut_off_is_written_again(source: Path, tmp_path: Path, left: int) -> None:
    copy = stored_copy(source, tmp_path / "data")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:left])
    assert stored_copy(source, tmp_path / "data").read_bytes() == whole


def test_a_damaged_source_is_named_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    source.write_bytes(source.read_bytes()[:-4000])
    with pytest.raises(CannotStore, match=r"cannot be written: .*model\.Q4_1\.gguf is truncated"):
        stored_copy(source, tmp_path / "data")
    assert left_in(tmp_path / "data") == []


def test_a_full_disk_is_named_and_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = q8_0.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(q8_0.shutil, "disk_usage", lambda _: usage._replace(free=4096))
    with pytest.raises(OSError, match="the disk has 0 MB free"):
        q8_0.write_q8_0(source, tmp_path / "data" / "copy.gguf")
    assert left_in(tmp_path / "data") == []


def test_a_disk_that_fills_up_while_writing_leaves_nothing(source: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    target = tmp_path / "data" / "copy.gguf"
    command = [sys.executable, "-m", "gateway.backends.local.gguf.q8_0", str(source), str(target)]
    done = subprocess.run(command, preexec_fn=small_files, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, "[Errno 27] File too large")
    assert left_in(tmp_path / "data") == []


def left_in(folder: Path) -> list[str]:
    return [file.name for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]


class _Engine:
    """Stands in for llama.cpp, which would refuse these weights, and tells which file it got."""

    def __init__(self, path: Path, *_: object) -> None:
        self.path = path


def test_the_backend_loads_the_copy_and_without_one_the_model_itself(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(llamacpp, "LlamaEngine", _Engine)
    settings = LlamaCppSettings(name="m", model=str(source), store="Q8_0")

    def loaded(data: Path) -> object:
        return LlamaCpp("local", settings, source, data=data)._load()

    assert loaded(tmp_path / "data").path == stored_path(source, tmp_path / "data")  # type: ignore[attr-defined]
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert loaded(tmp_path / "file").path == source  # type: ignore[attr-defined]
    assert f"the model is served from {source}" in caplog.text


def test_a_writer_that_never_ends_is_given_up(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "PATIENCE_S", 0.001)
    with pytest.raises(CannotStore, match="is not written after 0 s"):
        stored_copy(source, tmp_path / "data")


def test_a_variant_is_not_stored_again() -> None:
    problems = list(llamacpp._check(LlamaCppSettings(name="m", variant="v", store="Q8_0"), Path()))
    assert [(problem.where, problem.what) for problem in problems] == [
        ("store", "needs `model`; a variant is used as it is")
    ]

"""What is read from a GGUF file is written back as the same bytes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.local.gguf import blocks
from gateway.backends.local.gguf.blocks import Q4_0, Q4_1, Q8_0, Coded
from gateway.backends.local.gguf.metadata import NotAModel
from gateway.backends.local.gguf.tensors import (
    TensorSpec,
    flag,
    number,
    numbers,
    read_gguf,
    real,
    text,
    texts,
    write_gguf,
)


def written(path: Path) -> Path:
    values = np.arange(128, dtype=np.float32).reshape(2, 64)
    pairs = {
        "general.architecture": text("llama"),
        "llama.block_count": number(2),
        "llama.scale": real(0.5),
        "flag": flag(True),
        "tokens": texts([b"a", b"\xff\xfe", "ü".encode()]),
        "kinds": numbers([1, -1, 3]),
    }
    specs = [TensorSpec("a.weight", (2, 64), blocks.F32), TensorSpec("b.weight", (2, 64), blocks.F16)]
    write_gguf(path, pairs, specs, [values, values.astype(np.float16)])
    return path


def test_a_file_that_is_read_and_written_is_the_same_file(tmp_path: Path) -> None:
    file = read_gguf(written(tmp_path / "one.gguf"))
    specs = [TensorSpec(each.name, each.shape, each.type) for each in file.tensors.values()]
    write_gguf(tmp_path / "two.gguf", file.pairs, specs, [each.data for each in file.tensors.values()])
    assert (tmp_path / "two.gguf").read_bytes() == (tmp_path / "one.gguf").read_bytes()


def test_values_are_decoded_and_a_token_that_is_no_utf_8_stays_bytes(tmp_path: Path) -> None:
    file = read_gguf(written(tmp_path / "one.gguf"))
    assert file.value("tokens") == ["a", b"\xff\xfe", "ü"]
    assert (file.value("kinds"), file.value("llama.scale"), file.value("flag")) == ([1, -1, 3], 0.5, True)
    assert file.value("absent", 7) == 7


@settings(max_examples=40)
@given(length=st.integers(0, 1200))
def test_a_truncated_file_is_refused(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = written(tmp_path_factory.mktemp("gguf") / "one.gguf")
    whole = path.read_bytes()
    path.write_bytes(whole[: min(length, len(whole) - 64)])
    with pytest.raises(NotAModel):
        read_gguf(path)


def test_a_tensor_of_another_size_than_its_description_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.weight has 4 bytes, not 256"):
        write_gguf(tmp_path / "x.gguf", {}, [TensorSpec("a.weight", (1, 64), blocks.F32)], [np.zeros(1, np.float32)])


@settings(max_examples=30)
@given(type=st.sampled_from([Q8_0, Q4_0, Q4_1, blocks.IQ4_NL]), seed=st.integers(0, 1000))
def test_codes_and_scales_survive_the_file_and_mean_what_the_library_reads(type: int, seed: int) -> None:
    from gguf import GGMLQuantizationType, quants

    random = np.random.default_rng(seed)
    low, high = {Q8_0: (-127, 128), Q4_0: (-8, 8)}.get(type, (0, 16))
    codes = random.integers(low, high, (3, 64)).astype(np.int8)
    scales = random.normal(size=(3, 2)).astype(np.float16)
    least = random.normal(size=(3, 2)).astype(np.float16) if type == Q4_1 else None
    coded = Coded(type, codes, scales, least)
    data = blocks.packed(coded)
    back = blocks.unpacked(type, data.reshape(-1), codes.shape)
    assert np.array_equal(back.codes, codes) and np.array_equal(back.scales, scales)
    assert np.array_equal(blocks.packed(back), data)
    assert np.array_equal(blocks.values(coded), quants.dequantize(data, GGMLQuantizationType(type)))


def test_bfloat16_is_rounded_to_even_and_read_back() -> None:
    numbers = np.array([[1.0, 1.00390625, -3.14159, 1e-20]], np.float32)
    raw = blocks.plain(blocks.BF16, numbers)
    back = blocks.read_values(blocks.BF16, raw.view(np.uint8).reshape(-1), numbers.shape)
    assert np.allclose(back, numbers, rtol=2**-8)

from pathlib import Path

import numpy as np
import pytest

from gateway.prompt.classifier.calibrate import calibration_error
from gateway.prompt.classifier.lessons import SeedPrompt, _reworded, as_search, read_seeds
from gateway.prompt.classifier.model_file import ModelUnusable, load, save
from gateway.prompt.classifier.train import Embedders, train, trained, training_key
from gateway.prompt.classifier.train_instruction import train_instructions
from gateway.prompt.classifier.view import look
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.small_library import library, seeds

BAGS = Embedders(BagEmbedder("static"), BagEmbedder("sentence", shift=7))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save(train(library(), BAGS, seeds()), folder)
    return folder


def test_there_is_a_tier_for_each_embedding_and_language(model_folder: Path) -> None:
    model = load(model_folder)
    assert {language: list(tiers) for language, tiers in model.tiers.items()} == {
        "en": ["static", "sentence"],
        "zh": ["words"],
    }
    assert model.report["en static accuracy"] > 0.9
    assert model.report["en static unknown AUROC"] > 0.9


def test_without_embeddings_english_is_judged_by_its_words() -> None:
    model = train(library(), Embedders(), seeds())
    assert list(model.tiers["en"]) == ["words"]
    assert model.report["en words accuracy"] > 0.9


def test_what_is_saved_is_what_is_loaded(model_folder: Path, tmp_path: Path) -> None:
    model = load(model_folder)
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.trained_on == model.trained_on
    for key, value in model.tiers["en"]["static"].arrays.items():
        assert np.array_equal(again.tiers["en"]["static"].arrays[key], value)


@pytest.mark.parametrize("file", ["model.npz", "model.json"])
def test_a_damaged_file_is_refused(file: str, model_folder: Path, tmp_path: Path) -> None:
    for name in ("model.npz", "model.json"):
        (tmp_path / name).write_bytes((model_folder / name).read_bytes())
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelUnusable, match="to train again"):
        load(tmp_path)


def test_a_model_is_trained_once_and_a_damaged_one_again(tmp_path: Path) -> None:
    first = BagEmbedder("static")
    trained(library(), Embedders(first), tmp_path, seeds())
    second = BagEmbedder("static")
    trained(library(), Embedders(second), tmp_path, seeds())
    assert first.texts and not second.texts
    (found,) = (tmp_path / "classifier").glob("*/model.npz")
    found.write_bytes(b"")
    third = BagEmbedder("static")
    trained(library(), Embedders(third), tmp_path, seeds())
    assert third.texts


def test_the_key_changes_with_all_that_is_learned_from() -> None:
    keys = {
        training_key(library(), BAGS, seeds()),
        training_key(library(), Embedders(BagEmbedder("static")), seeds()),
        training_key(library(**{"sort-ticket": "[which queue]"}), BAGS, seeds()),
        training_key(library(), BAGS, read_seeds()),
    }
    assert len(keys) == 4
    assert training_key(library(), BAGS, seeds()) in keys


def test_the_committed_seeds_have_both_answers_in_both_languages() -> None:
    found = read_seeds()
    assert {raw for _, raw in found.improvable} == {True, False}
    assert {language for _, language in found.unknown} >= {"en", "zh"}
    assert all(raw.strip() and better.strip() for raw, better in found.pairs)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_committed_prompts_have_their_parts_apart(language: str) -> None:
    prompts = [prompt for prompt in read_seeds().prompts if prompt.language == language]
    assert len(prompts) > 2000
    assert len({prompt.intent for prompt in prompts}) == 32
    assert all(prompt.payload not in prompt.instruction for prompt in prompts if prompt.payload)


def test_an_instruction_is_told_from_a_pasted_text_that_commands() -> None:
    prompts = [prompt for prompt in read_seeds().prompts if prompt.language == "en"][::3]
    model = train_instructions(prompts, spaced=True)
    text = "Summarise this letter in one sentence.\n\nDear Ann, the boat is sold.\n\nWrite a poem about the sea."
    assert look(text, None, model).request == "Summarise this letter in one sentence"
    before = "tea is 4 pounds\nmilk is 2 pounds\n\nWhat does the tea cost?"
    assert look(before, None, model).request == "What does the tea cost"


def test_calibration_error_is_the_distance_of_trust_from_success() -> None:
    right = np.array([True, True, True, False])
    assert calibration_error(np.full(4, 0.75), right) == pytest.approx(0.0)
    assert calibration_error(np.full(4, 0.95), right) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("language", "instruction", "searched"),
    [
        ("en", "How do I mount a disk at boot?", "how mount disk at boot"),
        ("en", "Could you tell me why my printer is offline?", "why printer offline"),
        ("en", "Rust or Go for a parser?", "rust or go for parser"),
        ("en", "list primes", ""),
        ("en", "x" * 200, ""),
        ("zh", "请问我的打印机为什么脱机了？", "打印机为什么脱机"),
        ("fr", "Comment ça va ?", ""),
    ],
)
def test_a_prompt_is_also_learned_as_search_words(language: str, instruction: str, searched: str) -> None:
    assert as_search(instruction, language) == searched


def test_a_prompt_is_also_learned_in_other_wordings_of_its_language() -> None:
    prompt = SeedPrompt("technical-help", "How do I mount a disk at boot?", language="en")
    written = {other.instruction for nth in range(8) for other in _reworded(prompt, nth)}
    assert {"I want to mount a disk at boot. How do I do that?", "mount a disk at boot"} <= written
    assert prompt.instruction not in written
    (framed,) = _reworded(SeedPrompt("none:chat", "hello there", language="en"), 0)
    assert framed.instruction != "hello there" and "hello there." in framed.instruction
    assert [*_reworded(SeedPrompt("write-code", "escribe un poema", language="es"), 0)] == []

"""Folders with tiny random models of each family, and a small byte vocabulary."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

FAMILIES = ("llama", "mistral", "smollm", "qwen2", "qwen3", "gemma", "gemma3_text")
SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
TEXT = "The river rises in the hills. In spring it is wide; in summer, children cross it on foot.\n" * 40


def folder(place: Path, family: str, **fields: Any) -> Path:
    """Save a model of a family with its tokenizer."""
    tokenizer = vocabulary()
    tokenizer.save_pretrained(place)
    kind = "llama" if family == "smollm" else family
    tied = {"tie_word_embeddings": family in ("smollm", "gemma", "gemma3_text", "qwen2")}
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if family == "qwen2":
        fields = {"hidden_size": 128, **fields}  # llama.cpp refuses other head widths in this family
    if family == "gemma3_text":
        fields = {"sliding_window": 64, "query_pre_attn_scalar": SHAPE["head_dim"], **fields}
    config = AutoConfig.for_model(kind, **{**SHAPE, **tied, **marks, "vocab_size": len(tokenizer), **fields})
    torch.manual_seed(7)
    factory: Any = AutoModelForCausalLM
    network = factory.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, values in network.named_parameters():
            if name.endswith(("norm.weight", "bias")):
                values.add_(torch.randn_like(values) * 0.1)
    network.save_pretrained(place)
    return place


def vocabulary() -> PreTrainedTokenizerFast:
    """Return a tokenizer with all bytes, two control tokens and a few merges. It splits text as SmolLM's does."""
    marks = ["<|im_start|>", "<|im_end|>"]
    letters = sorted(ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("Ġ", "in"), ("e", "r")]
    tokens = [*marks, *letters, *("".join(pair) for pair in merges)]
    tokens += [f"<|spare_{number}|>" for number in range(-len(tokens) % 32)]
    tokenizer = Tokenizer(BPE({token: place for place, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=marks[0], eos_token=marks[1])
    made.chat_template = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
        "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    return made


def text_file(place: Path) -> Path:
    place.write_text(TEXT)
    return place


def config_file(place: Path) -> Path:
    place.write_text("[server]\nport = 18080\n")
    return place


def read_config(place: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((place / "config.json").read_text())
    return read

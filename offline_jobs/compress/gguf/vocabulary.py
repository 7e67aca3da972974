"""Converts the vocabulary of a folder with a `tokenizer.json` to GGUF metadata.

llama.cpp identifies a pre-tokenizer by name, but a folder describes the pre-tokenizer by rules. So llama.cpp's names
are tried one after another, until llama.cpp makes the same tokens as the folder's tokenizer.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.backends.local.gguf.tensors import Pair, flag, number, numbers, reals, text, texts, write_gguf
from offline_jobs.compress.measuring.measure import tokens_of
from offline_jobs.errors import JobFailed

CUTS = ("llama-bpe", "qwen2", "smollm", "gpt-2", "tekken", "default")
"""The names by which llama.cpp knows the pre-tokenizers of the supported families."""
NORMAL, CONTROL, USER, UNUSED, BYTE = 1, 3, 4, 5, 6
UNKNOWN = 2
PROBE = "Hello world!  It's 2024, 1234567 apples;\n\n  don't we'll\tstop. Grüße, 你好，世界。 foo_bar(x) -> 'y'"
SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}


def vocabulary_pairs(folder: Path, config: Any) -> dict[str, Pair]:
    """Return the metadata with tokens, merges and special tokens.

    Raises `JobFailed` if `tokenizer.json` is missing or its type is not BPE.
    """
    rules = _json(folder / "tokenizer.json")
    options = _json(folder / "tokenizer_config.json", optional=True)
    model = rules.get("model", {})
    if model.get("type") != "BPE":
        raise JobFailed(f"{folder} has a tokenizer of type {model.get('type')!r}; only BPE is supported")
    tokens, kinds = _tokens(rules, config.vocab_size)
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model.get("merges", [])]
    pieces = bool(model.get("byte_fallback"))
    pairs = {
        "tokenizer.ggml.model": text("llama" if pieces else "gpt2"),
        "tokenizer.ggml.tokens": texts([token.encode() for token in tokens]),
        "tokenizer.ggml.token_type": numbers(kinds),
        **_marks(options, tokens, _adds_first(rules, options)),
    }
    if pieces:
        pairs["tokenizer.ggml.scores"] = reals(_scores(tokens, merges))
        pairs["tokenizer.ggml.add_space_prefix"] = flag(_prefixed(rules))
    else:
        pairs["tokenizer.ggml.merges"] = texts([merge.encode() for merge in merges])
        pairs["tokenizer.ggml.pre"] = text(CUTS[0])
    template = options.get("chat_template") or _text(folder / "chat_template.jinja")
    if isinstance(template, str) and template:
        pairs["tokenizer.chat_template"] = text(template)
    return pairs


def candidates(pairs: Mapping[str, Pair]) -> list[Mapping[str, Pair]]:
    """Return one copy of the metadata for each pre-tokenizer to try."""
    if "tokenizer.ggml.pre" not in pairs:
        return [pairs]
    return [{**pairs, "tokenizer.ggml.pre": text(cut)} for cut in CUTS]


def _json(file: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not file.exists():
        return {}
    try:
        read = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise JobFailed(f"{file} cannot be read: {error}") from error
    return read if isinstance(read, dict) else {}


def _text(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""


def _tokens(rules: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{place}]" for place in range(size)]
    kinds = [UNUSED] * size
    for token, place in rules["model"]["vocab"].items():
        tokens[place], kinds[place] = token, NORMAL
        if rules["model"].get("byte_fallback") and len(token) == 6 and token.startswith("<0x"):
            kinds[place] = BYTE
    for added in rules.get("added_tokens", []):
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added.get("special") else USER
    unknown = rules["model"].get("unk_token")
    if unknown in tokens:
        kinds[tokens.index(unknown)] = UNKNOWN
    return tokens, kinds


def _marks(options: dict[str, Any], tokens: list[str], adds_first: bool) -> dict[str, Pair]:
    places = {token: place for place, token in enumerate(tokens)}
    pairs = {"tokenizer.ggml.add_bos_token": flag(adds_first)}
    for key, name in SPECIAL.items():
        token = options.get(key)
        token = token.get("content") if isinstance(token, dict) else token
        if token in places:
            pairs[f"tokenizer.ggml.{name}"] = number(places[token])
    return pairs


def _adds_first(rules: dict[str, Any], options: dict[str, Any]) -> bool:
    """Return whether the tokenizer adds a special token at the start of each text."""
    if "add_bos_token" in options:
        return bool(options["add_bos_token"])
    after = rules.get("post_processor") or {}
    parts = [after, *after.get("processors", [])]
    first = [part["single"][0] for part in parts if part.get("type") == "TemplateProcessing" and part.get("single")]
    return any("SpecialToken" in piece for piece in first)


def _prefixed(rules: dict[str, Any]) -> bool:
    normalizer, before = rules.get("normalizer") or {}, rules.get("pre_tokenizer") or {}
    parts = normalizer.get("normalizers", [normalizer])
    return any(part.get("type") == "Prepend" for part in parts) or before.get("prepend_scheme") in ("first", "always")


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """Return a score for each token. llama.cpp merges the token with the highest score first, so earlier merges score
    higher."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        left, _, right = merge.partition(" ")
        ranks.setdefault(left + right, rank)
    last = float(len(merges))
    return [-float(ranks.get(token, last)) for token in tokens]


def proven_pairs(
    folder: Path, pairs: Mapping[str, Pair], scratch: Path, check: Callable[[], None]
) -> Mapping[str, Pair]:
    """Return the metadata with which llama.cpp tokenizes `PROBE` exactly as the folder's tokenizer does.

    Raises `JobFailed` if no known pre-tokenizer gives the same tokens.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    expected = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    file = scratch / "vocabulary.gguf"
    try:
        for candidate in candidates(pairs):
            write_gguf(file, candidate, [], [])
            if tokens_of(file, PROBE, check).tokens == expected:
                return candidate
    finally:
        file.unlink(missing_ok=True)
    raise JobFailed(f"no pre-tokenizer of llama.cpp makes the same tokens as {folder}; use a GGUF file of the model")

"""Model families: the names and layouts of their tensors in GGUF and in transformers.

Mistral and SmolLM use Llama's architecture. `deci` is llama.cpp's variant of Llama, whose layers may have different
widths.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gateway.backends.local.gguf.tensors import Pair, number, numbers, real, text
from offline_jobs.errors import JobFailed

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
ROPE_FACTORS = "rope_freqs.weight"
"""Llama 3's scaling factors for rotary frequencies. GGUF stores these factors as a tensor, but they are constants, not
weights."""
WHOLE = {EMBEDDING: "token_embd.weight", "model.norm.weight": "output_norm.weight", HEAD: "output.weight"}
LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TWO_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
FOUR_NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
SLIDING_EVERY = 6
"""Every sixth layer of Gemma 3 uses full attention. The other layers use a sliding window."""


@dataclass(frozen=True)
class Family:
    """A family of models.

    turned: whether GGUF orders the rows of q and k differently from transformers (see `interleaved`).
    raised: whether GGUF stores norm weights with 1 added.
    """

    architecture: str
    model_types: tuple[str, ...]
    norms: Mapping[str, str] = field(default_factory=lambda: TWO_NORMS)
    turned: bool = False
    raised: bool = False
    sliding: bool = False

    def gguf_name(self, name: str) -> str:
        """Convert a tensor's name from transformers to GGUF. Raises `JobFailed` if the family has no such tensor."""
        if name in WHOLE:
            return WHOLE[name]
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        part = {**LINEARS, **self.norms}.get(match[2]) if match else None
        if match is None or part is None:
            raise JobFailed(f"tensor {name!r} is not known in models of the {self.architecture} architecture")
        return f"blk.{match[1]}.{part}.{match[3]}"

    def torch_name(self, name: str) -> str:
        """Convert a tensor's name from GGUF to transformers."""
        whole = {to: from_ for from_, to in WHOLE.items()}
        if name in whole:
            return whole[name]
        match = re.fullmatch(r"blk\.(\d+)\.(.+)\.(weight|bias)", name)
        part = {to: from_ for from_, to in {**LINEARS, **self.norms}.items()}.get(match[2]) if match else None
        if match is None or part is None:
            raise JobFailed(f"tensor {name!r} is not known in models of the {self.architecture} architecture")
        return f"model.layers.{match[1]}.{part}.{match[3]}"

    def to_gguf(self, name: str, values: Tensor, head_width: int) -> Tensor:
        """Reorder values or codes, rows first, into GGUF's layout. `name` is the tensor's name in transformers."""
        if self._turns(name):
            return interleaved(values, head_width)
        return values + 1 if self.raised and name.endswith("norm.weight") else values

    def to_torch(self, name: str, values: Tensor, head_width: int) -> Tensor:
        """Reorder values or codes, rows first, into transformers' layout. Inverts `to_gguf`."""
        if self._turns(name):
            return halves(values, head_width)
        return values - 1 if self.raised and name.endswith("norm.weight") else values

    def _turns(self, name: str) -> bool:
        return self.turned and (".q_proj." in name or ".k_proj." in name)


FAMILIES = (
    Family("llama", ("llama", "mistral"), turned=True),
    Family("deci", (), turned=True),
    Family("qwen2", ("qwen2",)),
    Family("qwen3", ("qwen3",), {**TWO_NORMS, **HEAD_NORMS}),
    Family("gemma", ("gemma",), raised=True),
    Family("gemma3", ("gemma3_text",), {**FOUR_NORMS, **HEAD_NORMS}, raised=True, sliding=True),
)


def family_of(architecture: str) -> Family:
    """Return the family with this GGUF architecture. Raises `JobFailed` if the architecture is unknown."""
    for family in FAMILIES:
        if family.architecture == architecture:
            return family
    raise JobFailed(f"models of the {architecture or 'unnamed'} architecture cannot be compressed; {_known()}")


def family_of_type(model_type: str) -> Family:
    """Return the family with this `model_type` of transformers. Raises `JobFailed` if the type is unknown."""
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    raise JobFailed(f"models of type {model_type or 'unknown'!r} cannot be compressed; {_known()}")


def _known() -> str:
    return f"those of {', '.join(family.architecture for family in FAMILIES)} can"


def interleaved(values: Tensor, head_width: int) -> Tensor:
    """Reorder the rows of each head from transformers' order to GGUF's.

    Rotary embedding rotates pairs of rows. The two rows of a pair are half a head apart in transformers, and adjacent
    in GGUF.
    """
    shape = values.shape
    return values.reshape(-1, 2, head_width // 2, *shape[1:]).transpose(1, 2).reshape(shape)


def halves(values: Tensor, head_width: int) -> Tensor:
    """Reorder the rows of each head from GGUF's order to transformers'. Inverts `interleaved`."""
    shape = values.shape
    return values.reshape(-1, head_width // 2, 2, *shape[1:]).transpose(1, 2).reshape(shape)


def head_width_of(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def config_of(family: Family, value: Any, tied: bool, vocabulary: int) -> Any:
    """Build a transformers config from GGUF metadata. `value(key)` returns the value of a key, or None if the key is
    missing.

    Raises `JobFailed` if the model uses an unsupported kind of position encoding.
    """
    from transformers import AutoConfig

    if value("rope.scaling.type") not in (None, "none", "linear"):
        raise JobFailed(f"{value('rope.scaling.type')} position encodings cannot be compressed yet")
    heads, width = value("attention.head_count"), value("embedding_length")
    if isinstance(heads, list) or isinstance(value("feed_forward_length"), list):
        raise JobFailed("a model whose layers have different widths cannot be compressed again; use its source")
    fields = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": value("attention.head_count_kv") or heads,
        "head_dim": value("attention.key_length") or width // heads,
        "max_position_embeddings": value("context_length"),
        "rms_norm_eps": value("attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": tied,
        "rope_parameters": _rope(family, value),
    }
    if family.sliding:
        fields |= {"sliding_window": value("attention.sliding_window"), "query_pre_attn_scalar": fields["head_dim"]}
    missing = [name for name, held in fields.items() if held is None]
    if missing:
        raise JobFailed(f"the file's metadata lacks {', '.join(missing)}")
    kind = family.model_types[0] if family.model_types else "llama"
    return AutoConfig.for_model(kind, **fields)


def _rope(family: Family, value: Any) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": value("rope.freq_base") or 10000.0}
    if value("rope.scaling.type") == "linear":
        rope |= {"rope_type": "linear", "factor": value("rope.scaling.factor")}
    if not family.sliding:
        return rope
    return {"full_attention": rope, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}


def pairs_of(family: Family, config: Any, architecture: str = "") -> dict[str, Pair]:
    """Build GGUF metadata from a transformers config. The vocabulary is not included."""
    prefix = architecture or family.architecture
    rope = config.rope_parameters or {}
    rope = rope.get("full_attention", rope)
    if rope.get("rope_type", "default") not in ("default", "linear", "llama3"):
        raise JobFailed(f"{rope['rope_type']} position encodings cannot be compressed yet")
    width = head_width_of(config)
    pairs = {
        "general.architecture": text(prefix),
        "general.quantization_version": number(2),
        f"{prefix}.block_count": number(config.num_hidden_layers),
        f"{prefix}.context_length": number(config.max_position_embeddings),
        f"{prefix}.embedding_length": number(config.hidden_size),
        f"{prefix}.feed_forward_length": number(config.intermediate_size),
        f"{prefix}.attention.head_count": number(config.num_attention_heads),
        f"{prefix}.attention.head_count_kv": number(config.num_key_value_heads),
        f"{prefix}.attention.key_length": number(width),
        f"{prefix}.attention.value_length": number(width),
        f"{prefix}.attention.layer_norm_rms_epsilon": real(config.rms_norm_eps),
        f"{prefix}.rope.dimension_count": number(width),
        f"{prefix}.rope.freq_base": real(rope.get("rope_theta", 10000.0)),
        f"{prefix}.vocab_size": number(config.vocab_size),
    }
    if rope.get("rope_type") == "linear":
        pairs[f"{prefix}.rope.scaling.type"] = text("linear")
        pairs[f"{prefix}.rope.scaling.factor"] = real(rope["factor"])
    if family.sliding:
        pairs[f"{prefix}.attention.sliding_window"] = number(config.sliding_window)
    return pairs


def with_widths(pairs: Mapping[str, Pair], widths: list[int], heads: list[int], kv_heads: list[int]) -> dict[str, Pair]:
    """Return metadata for the architecture `deci`. Each of the lists has one entry per layer."""
    changed = {}
    for key, pair in pairs.items():
        prefix, _, rest = key.partition(".")
        changed[f"deci.{rest}" if prefix == "llama" else key] = pair
    changed["general.architecture"] = text("deci")
    changed["deci.feed_forward_length"] = numbers(widths)
    changed["deci.attention.head_count"] = numbers(heads)
    changed["deci.attention.head_count_kv"] = numbers(kv_heads)
    return changed


def rope_factors(config: Any) -> Tensor | None:
    """Return Llama 3's frequency factors as float32 [head width / 2], or None if the model uses another position
    encoding."""
    rope = config.rope_parameters or {}
    if rope.get("rope_type") != "llama3":
        return None
    plain = 1.0 / rope["rope_theta"] ** (torch.arange(0, head_width_of(config), 2).float() / head_width_of(config))
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    factors: Tensor = plain / stretched
    return factors

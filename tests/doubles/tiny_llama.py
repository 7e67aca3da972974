"""A Llama of two layers with random weights, on which exactness can be tested in milliseconds."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, masking_utils
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from gateway.backends.local.torch_engine.model import NAME, TorchNetwork, attention

WINDOW = 64


def config(**fields: Any) -> LlamaConfig:
    shape: dict[str, Any] = {
        "vocab_size": 97,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": WINDOW,
        "initializer_range": 0.3,
    }
    return LlamaConfig(**{**shape, **fields})


def reference(**fields: Any) -> Any:
    """Return the model as transformers runs it."""
    torch.set_num_threads(1)  # a second thread would spin while it waits
    torch.manual_seed(7)
    return LlamaForCausalLM(config(**fields)).eval()


def model(*, int8_cache: bool = False, **fields: Any) -> TorchNetwork:
    """Return the same weights in our engine."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
    masking_utils.ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, lambda *_, **__: None)
    network = reference(**fields)
    network.set_attn_implementation(NAME)
    return TorchNetwork(network, int8_cache=int8_cache)

"""Runs a transformers model on the tokens of many requests at a time.

The tokens of all requests are concatenated, so that the large matrices get one batch without padding. Only the
attention function separates the rows. transformers' own caches, masks and rotary modules are not used.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gateway.backends.local.torch_engine import rope
from gateway.backends.local.torch_engine.block import CacheShape, RowBlock
from gateway.backends.local.torch_engine.positions import NATIVE, Variant

NAME = "foreword"
"""The name of our attention function in transformers."""
WantedLogits = Literal["none", "last", "all"]


class TokenSegment:
    """The next tokens of a block's rows: ids [rows, n]. `wanted_logits` tells which of these tokens need logits."""

    def __init__(self, block: RowBlock, ids: Tensor, wanted_logits: WantedLogits = "last") -> None:
        self.block, self.ids, self.wanted_logits = block, ids, wanted_logits


class TorchNetwork:
    """A loaded network. Only one thread at a time may run it."""

    def __init__(self, network: Any, *, int8_cache: bool = False) -> None:
        self.network = network
        config = network.config
        if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
            raise ValueError("models with sliding or linear attention are not supported by this engine")
        heads = config.num_key_value_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.shape = CacheShape(config.num_hidden_layers, heads, width, network.dtype, int8=int8_cache)
        self.vocabulary: int = network.get_input_embeddings().num_embeddings
        """The size of the vocabulary."""
        self.trained_tokens = _trained(config)
        self._rotary = Rotary(network.base_model.rotary_emb, config, self.trained_tokens)
        network.base_model.rotary_emb = self._given = _PresetRotary()

    @property
    def has_longrope(self) -> bool:
        return self._rotary.has_longrope

    def block(self, rows: int, capacity: int, variant: Variant = NATIVE) -> RowBlock:
        return RowBlock(self.shape, rows, capacity, variant)

    @torch.inference_mode()
    def forward(self, segments: Sequence[TokenSegment]) -> list[Tensor]:
        """Read each segment's tokens into its block, and return each segment's logits in float32.

        The shape of the logits depends on `wanted_logits`: [rows, vocabulary] for "last", [rows, n, vocabulary] for
        "all", and an empty tensor for "none".
        """
        ids = torch.cat([segment.ids.flatten() for segment in segments])[None]
        positions = [segment.block.positions(segment.ids.shape[1]).flatten() for segment in segments]
        turned = [self._rotary.turn(segment.block.variant, at) for segment, at in zip(segments, positions, strict=True)]
        dtype = self.shape.dtype
        self._given.turned = tuple(torch.cat(each)[None].to(dtype) for each in zip(*turned, strict=True))
        places = _logit_places(segments)
        steps = [(segment.block, segment.ids.shape, self._rotary.plain) for segment in segments]
        out = self.network(
            input_ids=ids,
            position_ids=torch.cat(positions)[None],
            use_cache=False,
            logits_to_keep=torch.cat(places) if any(len(place) for place in places) else torch.tensor([0]),
            segments=steps,
        ).logits[0]
        for segment in segments:
            segment.block.end += segment.ids.shape[1]
        return _shared_out(out, segments, [len(place) for place in places])


def _logit_places(segments: Sequence[TokenSegment]) -> list[Tensor]:
    """Return the indices of the tokens that need logits. The indices count all concatenated tokens."""
    places_of_segments, start = [], 0
    for segment in segments:
        rows, count = segment.ids.shape
        places = torch.arange(start, start + rows * count).view(rows, count)
        places_of_segments.append(
            {"none": places[:0], "last": places[:, -1], "all": places}[segment.wanted_logits].flatten()
        )
        start += rows * count
    return places_of_segments


def _shared_out(out: Tensor, segments: Sequence[TokenSegment], counts: Sequence[int]) -> list[Tensor]:
    if not any(counts):
        return [out[:0]] * len(segments)
    parts = torch.split(out.float(), list(counts))
    return [
        part.view(*segment.ids.shape, -1) if segment.wanted_logits == "all" else part
        for segment, part in zip(segments, parts, strict=True)
    ]


def attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, *, segments: Any, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """Compute attention for the tokens of all requests. transformers calls this function in each layer.

    query: [1, heads, tokens, d] -> [1, tokens, heads, d]
    """
    out = torch.empty_like(query)
    start = 0
    for block, (rows, count), theta in segments:
        part = slice(start, start + rows * count)
        q, k, v = (_own(each[0, :, part], rows, count) for each in (query, key, value))
        seen = block.attend(module.layer_idx, q, k, v, scaling, theta)
        out[0, :, part] = seen.transpose(0, 1).flatten(1, 2)
        start += rows * count
    return out.transpose(1, 2), None


def _own(line: Tensor, rows: int, count: int) -> Tensor:
    """Separate the rows: [heads, rows * count, d] -> [rows, heads, count, d]"""
    return line.view(line.shape[0], rows, count, -1).transpose(0, 1)


class _PresetRotary(nn.Module):
    """Replaces a model's rotary module. Returns the cosines and sines that were computed for the tokens of the current
    step.
    """

    turned: tuple[Tensor, ...] = ()

    def forward(self, *_: Any, **__: Any) -> tuple[Tensor, ...]:
        return self.turned


class Rotary:
    """A table of frequencies for each variant. A table is computed at its first use, in 0.1 ms."""

    def __init__(self, own: Any, config: Any, trained_tokens: int) -> None:
        parameters = config.rope_parameters or {}
        self._trained = trained_tokens
        self._scale = float(own.attention_scaling)
        self._long = parameters.get("long_factor")
        # the `original` values are those before a longer input changed them
        self.plain: Tensor = own.original_inv_freq.detach().float().clone()
        self._made: dict[Variant, tuple[Tensor, float]] = {NATIVE: (self.plain, self._scale)}
        self._base = self.plain
        if self._long is not None:
            self._base = self.plain * torch.tensor(parameters["short_factor"], dtype=torch.float32)

    @property
    def has_longrope(self) -> bool:
        return self._long is not None

    def turn(self, variant: Variant, positions: Tensor) -> tuple[Tensor, Tensor]:
        made = self._made.get(variant)
        if made is None:
            made = self._made[variant] = self._make(variant)
        return rope.cos_sin(*made, positions)

    def _make(self, variant: Variant) -> tuple[Tensor, float]:
        theta, factor, scale = self.plain, variant.factor, self._scale
        match variant.method:
            case "linear":
                return rope.linear(theta, factor), scale
            case "ntk":
                return rope.ntk(theta, factor), scale
            case "yarn":
                stretched, warmth = rope.yarn(theta, factor, self._trained)
                return stretched, scale * warmth
            case "llama3":
                return rope.llama3(theta, factor, self._trained), scale
            case "self-extend":
                return torch.zeros_like(theta), 1.0  # keys are stored unrotated; attention rotates them twice
            case "longrope" if self._long is not None:
                divisors = torch.tensor(self._long, dtype=torch.float32)
                return rope.longrope(self._base, divisors, int(self._trained * factor), self._trained)
        raise ValueError(f"this model has no {variant.method} positions")


def _trained(config: Any) -> int:
    """Return the window in tokens that the weights were trained for.

    If the config stretches the window, it states both the trained and the stretched length.
    """
    parameters = config.rope_parameters or {}
    if parameters.get("rope_type") in ("yarn", "longrope"):
        return int(parameters.get("original_max_position_embeddings") or config.max_position_embeddings)
    return int(config.max_position_embeddings)

"""The plain decode loop: it reads the prompt, then generates one token at a time for each choice."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gateway.backends.local.torch_engine.block import RowBlock
from gateway.backends.local.torch_engine.choice import RunningChoice, Say
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.model import TokenSegment, TorchNetwork
from gateway.backends.local.torch_engine.positions import Positions
from gateway.backends.local.torch_engine.sampling import Sampler
from gateway.backends.local.torch_engine.stepper import Run
from gateway.errors import ContextTooLong
from gateway.wire.engine.pieces import EngineRequest

CHUNK = 256
"""The number of prompt tokens that are read in one step. Other requests wait for the end of the step."""


def answer(
    model: TorchNetwork,
    tokens: Tokens,
    positions: Positions,
    request: EngineRequest,
    prompt: Sequence[int],
    first: int,
    say: Say,
) -> Run:
    """Generate `request.choices` choices for one prompt. `first` is the number of the first of these choices."""
    room = room_after(len(prompt), positions, request)
    length = len(prompt) + min(request.max_tokens, room)
    block = model.block(1, length, positions.variant(length))
    logits = torch.empty(0)
    for start in range(0, len(prompt), CHUNK):
        ids = torch.tensor([prompt[start : start + CHUNK]])
        (logits,) = yield [TokenSegment(block, ids, "last" if start + CHUNK >= len(prompt) else "none")]
    choices = [RunningChoice(first + n, tokens, request, len(prompt), room, say) for n in range(request.choices)]
    samplers = [Sampler(request.knobs, choice.index) for choice in choices]
    block.select(torch.zeros(len(choices), dtype=torch.long))
    yield from _decode(block, choices, samplers, logits.expand(len(choices), -1))


def _decode(block: RowBlock, choices: list[RunningChoice], samplers: list[Sampler], logits: Tensor) -> Run:
    while True:
        picked = [_next(choice, sampler, row) for choice, sampler, row in zip(choices, samplers, logits, strict=True)]
        alive = [at for at, choice in enumerate(choices) if not choice.over]
        if not alive:
            return
        if len(alive) < len(choices):
            block.select(torch.tensor(alive))
            choices, samplers = [choices[at] for at in alive], [samplers[at] for at in alive]
        (logits,) = yield [TokenSegment(block, torch.tensor([[picked[at]] for at in alive]))]


def _next(choice: RunningChoice, sampler: Sampler, logits: Tensor) -> int:
    logprobs = sampler.logprobs(logits)
    token = sampler.pick(logprobs)
    choice.add(token, logprobs)
    return token


def room_after(prompt_tokens: int, positions: Positions, request: EngineRequest) -> int:
    """Return the number of tokens that still fit into the window after a prompt. Raises `ContextTooLong` if there are
    none.
    """
    room = positions.window_tokens - prompt_tokens
    if room < 1:
        raise ContextTooLong(prompt_tokens, positions.window_tokens, request.max_tokens)
    return room

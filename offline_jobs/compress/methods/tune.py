"""Fine-tunes a model briefly during compression, either on the export grid or with pruned weights kept at zero.

Norms and linear layers are trained; the embedding and the head are not. A killed job resumes at its last checkpoint.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.utils import parametrize

from offline_jobs.compress.gguf.export import linear_names
from offline_jobs.compress.methods.blocks import train_blocks
from offline_jobs.compress.methods.grids import Grid, Quantized
from offline_jobs.compress.methods.layers import Check, LayerFiles
from offline_jobs.compress.methods.prune import Sparsity, lowest

SAVE_EVERY = 20
WARM_UP = 0.1
"""The share of steps in which the learning rate warms up."""
SCALES_RATE = 0.1
"""The ratio of the learning rate of scales to that of weights. Scales are trained relative to their first values."""
CLIP = 1.0
GROWING = 0.8
"""The share of steps in which sparsity grows. In the remaining steps, the model recovers from the pruning."""
REMASK_EVERY = 5


@dataclass(frozen=True)
class LayerTuning:
    """Settings for training. Each step trains on one window. `rate` is AdamW's learning rate.

    `layer_steps` train each layer by itself on the grid, before `steps` train all layers together.
    """

    steps: int
    rate: float
    seed: int = 0
    layer_steps: int = 0


class Masked(nn.Module):
    """Keeps the pruned values of a weight at zero."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = nn.Buffer(mask)
        """A mask that is 1 for kept values and 0 for pruned values."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def tune_on_grid(
    network: Any,
    windows: Sequence[Sequence[int]],
    grid: Grid,
    tuning: LayerTuning,
    file: Path,
    check: Check,
) -> dict[str, Quantized]:
    """Train the model with weights rounded to the grid (quantization-aware training).

    First each layer learns to compute what it computed before; then all layers together learn to predict what the
    model predicted before. So the model does not learn the text; it learns to be itself on the grid.

    Returns the codes of each matrix, by the name of its weight. Matrices whose columns cannot be divided into groups
    are trained without rounding.
    """
    files = LayerFiles(file.parent, file.stem)
    targets = train_blocks(network, windows, grid, tuning.layer_steps, files, check)
    with torch.enable_grad():
        _train(network, windows, tuning, file, check, targets=targets)
    codes = {}
    for name, module in list(network.named_modules()):
        if parametrize.is_parametrized(module):
            weight: Any = module.parametrizations
            codes[f"{name}.weight"] = weight.weight[0].quantized(weight.weight.original)
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    network.requires_grad_(False)
    return codes


def tune(network: Any, windows: Sequence[Sequence[int]], tuning: LayerTuning, file: Path, check: Check) -> None:
    """Train a pruned model to recover its quality. Weights that are zero stay zero."""
    _tune_masked(network, windows, tuning, file, check, None)


def tune_sparser(
    network: Any,
    windows: Sequence[Sequence[int]],
    tuning: LayerTuning,
    file: Path,
    check: Check,
    sparsity: Sparsity,
    norms: Mapping[str, Tensor],
) -> None:
    """Prune a model gradually (Zhu and Gupta, 2017).

    Sparsity grows on a cubic curve while the remaining weights are trained. Wanda's score chooses the weights to
    remove. `norms` holds the root mean square of every input of each matrix.
    """

    def remask(step: int) -> None:
        growing = max(1, int(tuning.steps * GROWING))
        if step > growing or (step % REMASK_EVERY and step != growing):
            return
        share = sparsity.removed * (1 - (1 - min(1.0, step / growing)) ** 3)
        now = sparsity if step == growing else Sparsity(share)
        for name in linear_names(network):
            held: Any = _module(network, name).parametrizations
            weight, masked = held.weight.original, held.weight[0]
            scores = (weight.detach() * masked.mask).abs() * norms[name]
            masked.mask.copy_(~lowest(scores, now, by_row=True))

    _tune_masked(network, windows, tuning, file, check, remask)


def _tune_masked(
    network: Any,
    windows: Sequence[Sequence[int]],
    tuning: LayerTuning,
    file: Path,
    check: Check,
    remask: Callable[[int], None] | None,
) -> None:
    names = linear_names(network)
    with torch.enable_grad():
        for name in names:
            mask = (network.get_parameter(name) != 0).float()
            parametrize.register_parametrization(_module(network, name), "weight", Masked(mask))
        _train(network, windows, tuning, file, check, remask)
    for name in names:
        parametrize.remove_parametrizations(_module(network, name), "weight", leave_parametrized=True)
    network.requires_grad_(False)


def _train(
    network: Any,
    windows: Sequence[Sequence[int]],
    tuning: LayerTuning,
    file: Path,
    check: Check,
    before: Callable[[int], None] | None = None,
    targets: Sequence[Tensor] = (),
) -> None:
    """Train with AdamW, warm-up and linear decay. `before(step)` runs before each step. Steps are counted from 1.

    The model learns the next tokens, or to predict what `targets` predict: the head's inputs [tokens, width] for each
    window.
    """
    network.requires_grad_(False)
    weights, scales = _learning(network)
    for parameter in (*weights, *scales):
        parameter.requires_grad_(True)
    groups = [{"params": weights, "lr": tuning.rate}, {"params": scales, "lr": tuning.rate * SCALES_RATE}]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, tuning.steps))
    done = _resumed(file, network, optimiser, schedule)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(tuning.seed)).tolist()
    for step in range(done + 1, tuning.steps + 1):
        check()
        if before is not None:
            before(step)
        row = order[(step - 1) % len(order)]
        ids = torch.tensor([list(windows[row])])
        logits = network(ids, use_cache=False).logits[0]
        if targets:
            loss = _divergence(logits, network.lm_head(targets[row]))
        else:
            loss = functional.cross_entropy(logits[:-1], ids[0, 1:])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*weights, *scales], CLIP)
        optimiser.step()
        schedule.step()
        # the last step is kept too: a job that is killed while it rounds or measures does not train again
        if step % SAVE_EVERY == 0 or step == tuning.steps:
            _save(file, step, network, optimiser, schedule)


def _divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence from the wanted predictions, as a mean over tokens. Both are logits."""
    return functional.kl_div(
        functional.log_softmax(logits, -1), functional.log_softmax(wanted, -1), reduction="batchmean", log_target=True
    )


def _learning(network: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return two lists of trainable parameters: the weights of linear layers and norms, and the scales of grids."""
    weights, scales = [], []
    for name, parameter in network.named_parameters():
        if name.endswith((".scale", ".least")):
            scales.append(parameter)
        elif "embed_tokens" not in name and "lm_head" not in name:
            weights.append(parameter)
    return weights, scales


def _rate(step: int, steps: int) -> float:
    warm = max(1, int(steps * WARM_UP))
    return (step + 1) / warm if step < warm else max(0.0, (steps - step) / max(1, steps - warm))


def _save(file: Path, step: int, network: Any, optimiser: Any, schedule: Any) -> None:
    state = {
        "step": step,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
    }
    half = file.with_suffix(".half")
    torch.save(state, half)
    half.replace(file)


def _resumed(file: Path, network: Any, optimiser: Any, schedule: Any) -> int:
    """Load the last checkpoint, if any. Returns the number of steps that are already done."""
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])


def _module(network: Any, name: str) -> nn.Module:
    module: nn.Module = network.get_submodule(name.removesuffix(".weight"))
    return module


def norms_of(importance: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Return the root mean squares of the inputs. `importance` holds their mean squares."""
    return {name: importance[name].sqrt() for name in names}

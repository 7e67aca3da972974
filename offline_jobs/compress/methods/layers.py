"""Runs texts through a model layer by layer. Only one layer's statistics are in memory at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from offline_jobs.compress.gguf.families import LINEARS

Check = Callable[[], None]


@dataclass
class InputStatistics:
    """Statistics of the inputs of a linear layer. `products` is [columns, columns], or None if it was not requested."""

    tokens: int = 0
    squares: Tensor = field(default_factory=lambda: torch.zeros(0))
    highest: Tensor = field(default_factory=lambda: torch.zeros(0))
    products: Tensor | None = None
    sample: Tensor = field(default_factory=lambda: torch.zeros(0))
    """The inputs of the first few tokens, [tokens, columns]."""

    def add(self, inputs: Tensor, *, products: bool, sample: int) -> None:
        """Add inputs [..., columns] to the statistics."""
        rows = inputs.reshape(-1, inputs.shape[-1]).float()
        if not self.tokens:
            self.squares, self.highest = torch.zeros(rows.shape[1]), torch.zeros(rows.shape[1])
            self.products = torch.zeros(rows.shape[1], rows.shape[1]) if products else None
            self.sample = rows[:sample].clone()
        self.tokens += len(rows)
        self.squares += rows.square().sum(0)
        self.highest = torch.maximum(self.highest, rows.abs().amax(0))
        if self.products is not None:
            self.products.addmm_(rows.T, rows)

    @property
    def mean_squares(self) -> Tensor:
        return self.squares / max(self.tokens, 1)


class Texts:
    """The hidden states of windows of equal length, after the layers that have run so far.

    Each state is [tokens, width].
    """

    def __init__(self, network: Any, windows: Sequence[Sequence[int]]) -> None:
        self._layers: list[nn.Module] = list(network.model.layers)
        self._others = [_arguments(network, windows[0], index) for index in range(len(self._layers))]
        self.states = [_embedded(network, window) for window in windows]
        self.place = 0
        """The index of the next layer."""

    @torch.no_grad()
    def statistics(self, check: Check, *, products: bool = False, sample: int = 0) -> dict[str, InputStatistics]:
        """Return the input statistics of the linear layers inside the next layer, by the name of the linear layer."""
        with self._watched(products=products, sample=sample) as seen:
            for state in self.states:
                check()
                self.through(state)
        return seen

    def measured_advance(self, check: Check) -> dict[str, InputStatistics]:
        """Advance, and return the statistics of the inputs on the way."""
        with self._watched(products=False, sample=0) as seen:
            self.advance(check)
        return seen

    @torch.no_grad()
    def advance(self, check: Check) -> None:
        """Run the texts through the next layer. The layer's current weights are used."""
        for row, state in enumerate(self.states):
            check()
            self.states[row] = self.through(state)
        self.place += 1

    @contextmanager
    def _watched(self, *, products: bool, sample: int) -> Iterator[dict[str, InputStatistics]]:
        layer = self._layers[self.place]
        seen = {name: InputStatistics() for name in LINEARS if _has(layer, name)}
        with _watched(layer, seen, products=products, sample=sample):
            yield seen

    def through(self, state: Tensor) -> Tensor:
        """Return what the next layer makes of a state."""
        out = self._layers[self.place](state[None], **self._others[self.place])
        following: Tensor = (out[0] if isinstance(out, tuple) else out)[0]
        return following


class LayerFiles:
    """Stores finished layers in the job's folder, so that a resumed job does not compute these layers again."""

    def __init__(self, folder: Path, stage: str) -> None:
        self._folder, self._stage = folder, stage

    def restore(self, number: int, layer: nn.Module) -> bool:
        """Load a layer from its file. Returns False if the layer has no file, because no earlier run finished it."""
        from safetensors.torch import load_file

        file = self._file(number)
        if not file.exists():
            return False
        layer.load_state_dict(load_file(file))
        return True

    def keep(self, number: int, layer: nn.Module) -> None:
        from safetensors.torch import save_file

        half = self._file(number).with_suffix(".half")
        save_file({name: values.contiguous() for name, values in layer.state_dict().items()}, half)
        half.replace(self._file(number))

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._stage}-{number}.safetensors"


@torch.no_grad()
def importances(network: Any, windows: Sequence[Sequence[int]], check: Check) -> dict[str, Tensor]:
    """Return the mean square of the inputs [columns] of every linear layer, by the name of the linear layer's
    weight."""
    texts, means = Texts(network, windows), {}
    for number in range(len(network.model.layers)):
        for name, seen in texts.statistics(check).items():
            means[f"model.layers.{number}.{name}.weight"] = seen.mean_squares
        texts.advance(check)
    return means


def _has(layer: nn.Module, name: str) -> bool:
    return any(name == held for held, _ in layer.named_modules())


@contextmanager
def _watched(layer: nn.Module, seen: Mapping[str, InputStatistics], *, products: bool, sample: int) -> Iterator[None]:
    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, given: seen[name].add(given[0], products=products, sample=sample)

    hooks = [layer.get_submodule(name).register_forward_pre_hook(watch(name)) for name in seen]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Reached(Exception):  # this exception stops a run, so its name does not end in Error
    """Raised when a run has reached the requested layer."""


@torch.no_grad()
def _arguments(network: Any, window: Sequence[int], index: int) -> dict[str, Any]:
    """Return the keyword arguments that a layer receives, such as positions and masks, without the hidden states."""
    caught: dict[str, Any] = {}

    def catch(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        caught.update({name: value for name, value in named.items() if name != "hidden_states"})
        raise _Reached

    layers = network.model.layers
    originals, probe = list(layers), layers[index]
    hook = probe.register_forward_pre_hook(catch, with_kwargs=True)
    # the arguments do not depend on the layers before, so those layers are skipped
    network.model.layers = nn.ModuleList([_Skipped(layer) for layer in originals[:index]] + originals[index:])
    try:
        network(torch.tensor([list(window)]), use_cache=False)
    except _Reached:
        pass
    finally:
        hook.remove()
        network.model.layers = nn.ModuleList(originals)
    return caught


class _Skipped(nn.Module):
    """Stands in for a layer and returns the input unchanged.

    Copies those attributes of the layer that some models read.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        for name in ("attention_type", "layer_idx"):
            if hasattr(layer, name):
                setattr(self, name, getattr(layer, name))

    def forward(self, hidden_states: Tensor, **_: Any) -> Tensor:
        return hidden_states


@torch.no_grad()
def _embedded(network: Any, window: Sequence[int]) -> Tensor:
    """Return the input of the first layer for one window, [tokens, width]."""
    caught: list[Tensor] = []

    def catch(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        caught.append((given[0] if given else named["hidden_states"])[0].clone())
        raise _Reached

    hook = network.model.layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    try:
        network(torch.tensor([list(window)]), use_cache=False)
    except _Reached:
        pass
    finally:
        hook.remove()
    return caught[0]

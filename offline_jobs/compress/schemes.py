"""The schemes by name, the rules for combining them, and the options of a compression."""

from typing import Annotated

from msgspec import Meta, Struct

from offline_jobs.compress.methods.grids import Grid
from offline_jobs.compress.methods.prune import Method, Sparsity, read_sparsity
from offline_jobs.compress.methods.structured import Cuts
from offline_jobs.compress.methods.tune import LayerTuning
from offline_jobs.errors import JobFailed

QUANTIZE = ("f16", "int8-channel", "int8-group", "int4-group", "int4-nl", "w8a8", "w8a8-smooth")
METHODS: dict[str, Method] = {"magnitude": "magnitude", "wanda": "wanda", "sparsegpt": "sparsegpt"}
GRADUAL, STRUCTURED, QAT, TUNE, CACHE = "gradual", "structured", "qat", "tune", "kv-int8"
PRUNE = (*METHODS, GRADUAL)
SCHEMES = (*QUANTIZE, *PRUNE, STRUCTURED, QAT, TUNE, CACHE)
LEFT_OUT = ("gptq", "awq")
"""Schemes that others offer, and that were not better here than `int4-group` with searched scales."""
JOIN = "+"
KERNEL_NOTE = "llama.cpp rounds the inputs of quantized matrices to int8, 32 numbers at a time"


class CompressOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a compression."""

    source: str
    """The model: a GGUF file, `package:name/file.gguf`, or a folder with safetensors."""
    scheme: str
    """Schemes, joined by +: f16, int8-channel, int8-group, int4-group, int4-nl, w8a8, w8a8-smooth; magnitude, wanda,
    sparsegpt, gradual; structured; qat, tune; kv-int8."""
    text: str
    """A plain text file. The first part of the text is used for calibration. The last part is used for evaluation,
    unless `evaluate` is set."""
    evaluate: str = ""
    """A separate text file for evaluation. The perplexity on this text decides whether the variant is published."""
    name: str = ""
    """The name of the variant. Default: the name of the model followed by the schemes."""
    group: int = 32
    """How many columns share a scale in `int8-group` and `int4-group`: 32, 64 or 128."""
    symmetric: bool = True
    """Whether `int4-group` is symmetric (Q4_0), or stores the least value of each group (Q4_1)."""
    searched: bool = True
    """Whether to search for the scale with the smallest error. If false, the largest value sets the scale."""
    sparsity: str = "0.5"
    """The share of weights that pruning sets to zero, or `2:4` to set two of every four weights to zero."""
    channels: float = 0.25
    """The share of MLP channels that `structured` removes."""
    heads: float = 0.0
    """The share of attention-head groups that `structured` removes. The heads of a group share keys and values."""
    layers: Annotated[int, Meta(ge=0)] = 0
    """The number of layers that `structured` removes."""
    uneven: bool = True
    """Whether `structured` may leave layers with different widths."""
    steps: Annotated[int, Meta(ge=0)] = 100
    """The number of training steps of `tune`, `qat` and `gradual`. Each step reads one window. 0 for `qat` trains each
    layer by itself only, which takes less memory."""
    layer_steps: Annotated[int, Meta(ge=0)] = 64
    """The number of steps in which `qat` trains each layer by itself, before `steps` train all layers together."""
    together: bool = True
    """Whether `qat` trains all layers together after each layer by itself. If false, `steps` counts for `tune` only."""
    rate: Annotated[float, Meta(gt=0)] = 1e-4
    """The learning rate of `tune`, `gradual` and of the steps in which `qat` trains all layers together."""
    dataset: str = ""
    """The dataset of recorded exchanges to train on, made by the job `harvest`. Default: train on the text."""
    windows: Annotated[int, Meta(ge=1)] = 16
    """The number of windows for calibration."""
    evaluated: Annotated[int, Meta(ge=1)] = 8
    """The number of windows for evaluation."""
    window_tokens: Annotated[int, Meta(ge=16)] = 512
    """The length of a window in tokens."""
    limit: Annotated[float, Meta(ge=0)] = 0.03
    """The largest rise of perplexity at which the variant is still published, as a share: 0.03 is 3 %."""
    threads: Annotated[int, Meta(ge=1)] = 1
    """The number of threads."""
    safetensors: bool = False
    """Whether to write `safetensors/` as well, in the format compressed-tensors, for vLLM."""
    sha256: str = ""
    """The expected SHA-256 of the source. Default: not checked."""


class Plan(Struct, frozen=True):
    """The steps of a compression, in this order: cut, smooth, prune, tune, quantize."""

    schemes: tuple[str, ...]
    grid: Grid | None
    smooth: bool
    prune: str
    """A pruning method, `gradual`, or "" for none."""
    sparsity: Sparsity
    int8_cache: bool
    cuts: Cuts | None = None
    tune: bool = False
    qat: bool = False
    together: bool = False
    """Whether `qat` trains all layers together at the end."""
    tuning: LayerTuning = LayerTuning(0, 0.0)

    @property
    def gradual(self) -> bool:
        return self.prune == GRADUAL

    @property
    def method(self) -> Method:
        return METHODS[self.prune]


def plan_of(options: CompressOptions) -> Plan:
    """Make the plan for these options. Raises `JobFailed` if a scheme is unknown or two schemes exclude each other."""
    schemes = tuple(dict.fromkeys(word.strip() for word in options.scheme.split(JOIN) if word.strip()))
    for word in LEFT_OUT:
        if word in schemes:
            raise JobFailed(f"{word} is not offered; take int4-group, which searches its scales, or int4-group+qat")
    unknown = [word for word in schemes if word not in SCHEMES]
    if unknown or not schemes:
        raise JobFailed(f"there is no scheme {', '.join(unknown) or options.scheme!r}; there are {', '.join(SCHEMES)}")
    quantize = [word for word in schemes if word in QUANTIZE]
    prune = [word for word in schemes if word in PRUNE]
    for several in (quantize, prune):
        if len(several) > 1:
            raise JobFailed(f"{' and '.join(several)} exclude each other; choose one")
    if options.group not in (32, 64, 128):
        raise JobFailed(f"a group of {options.group} columns is not supported; choose 32, 64 or 128")
    grid = _grid(quantize[0] if quantize else "f16", options)
    if QAT in schemes and (grid is None or grid.nonlinear or GRADUAL in schemes):
        raise JobFailed("qat needs an int8 or int4 scheme, and cannot be combined with gradual or int4-nl")
    learns_text = TUNE in schemes or GRADUAL in schemes
    together = QAT in schemes and options.together and options.steps > 0
    steps = options.steps if learns_text or together else 0
    layer_steps = options.layer_steps if QAT in schemes else 0
    if (learns_text and not steps) or (QAT in schemes and not together and not layer_steps):
        raise JobFailed("a training needs steps; only qat can do without them, if it has layer_steps")
    return Plan(
        schemes=schemes,
        grid=grid,
        smooth="w8a8-smooth" in schemes,
        prune=prune[0] if prune else "",
        sparsity=_sparsity(options.sparsity),
        int8_cache=CACHE in schemes,
        cuts=Cuts(options.channels, options.heads, options.layers, options.uneven) if STRUCTURED in schemes else None,
        tune=TUNE in schemes,
        qat=QAT in schemes,
        together=together,
        tuning=LayerTuning(steps, options.rate, layer_steps=layer_steps),
    )


def _grid(scheme: str, options: CompressOptions) -> Grid | None:
    searched = options.searched
    match scheme:
        case "f16":
            return None
        case "int8-group":
            return Grid(8, options.group, searched=searched)
        case "int4-group":
            return Grid(4, options.group, options.symmetric, searched)
        case "int4-nl":
            return Grid(4, 32, searched=searched, nonlinear=True)
        case _:
            return Grid(8, 0, searched=searched)


def _sparsity(word: str) -> Sparsity:
    try:
        return read_sparsity(word)
    except ValueError as error:
        raise JobFailed(str(error)) from error


def notes_of(plan: Plan) -> list[str]:
    """Return notes for the manifest that say what the schemes save and what they do not save."""
    notes = [KERNEL_NOTE] if plan.grid else []
    if plan.grid and plan.grid.group != 32:
        notes.append("a GGUF block holds 32 numbers and a scale: groups larger than 32 save no bytes")
    if plan.prune:
        notes.append("llama.cpp has no kernels for zeros: pruned weights save no time and no bytes in this file")
    if plan.prune and plan.grid and not plan.grid.symmetric:
        notes.append("an asymmetric grid has no exact zero: pruned weights are nearly zero")
    if plan.tune or plan.gradual:
        notes.append("training also improves the model: compare with the source after the same training (f16+tune)")
    if plan.int8_cache:
        notes.append("the gateway serves this variant with an int8 cache (q8_0)")
    return notes

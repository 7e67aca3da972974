"""Measures how well `discover` finds prompts in traffic, and how fast and exactly the gateway recognises them.

    python benchmarks/discover.py --data FOLDER [--half first|second|both] [--seed 1]

The traffic is made from known skeletons and from applications' system prompts with filled parts. Their authors do not
know Foreword. A fifth of the requests are free prompts of people. Half of the skeletons, chosen by a hash of their
names, were not looked at while the rules were made (`second`).
"""

import gzip
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path

import click
from harness.foreign import long_texts, messages
from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.ports import Answer
from gateway.prompt.found.found_prompt import FoundPrompt, PromptVersion
from gateway.prompt.found.index import PromptIndex, PromptMatch
from gateway.prompt.found.shape import TextShape
from gateway.prompt.found.store import found_path, read_found
from gateway.records.database import Database
from gateway.records.locations import database_url
from gateway.records.schema import ExchangeRecord
from gateway.settings.read import load
from gateway.settings.tables import Settings
from offline_jobs.discover.sample import FEWEST_REQUESTS
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.work import jobs_folder, start

DAYS = 14
START_S = 1_790_000_000.0
USERS = 40
FREE = "free"
KEY, CHAT = "app", "chat/completions"
FOREIGN = 20_000
ALIKE = "Read the text below and answer for case "
NAMES = ("Anna Schmidt", "Bo Li", "Carmen Ruiz", "Dele Okafor", "Eva Novak", "Farid Aziz", "Grace Kim", "Hugo Martin")
FIRMS = ("Acme", "Northwind", "Globex", "Initech", "Umbrella Foods", "Stark Tools")


class MadeRequest(Struct):
    truth: str
    turns: tuple[Turn, ...]
    user: str
    time_s: float


def first_half(name: str) -> bool:
    return int(sha256(name.encode()).hexdigest(), 16) % 2 == 0


def skeletons(data: Path, half: str) -> dict[str, list[str]]:
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    with gzip.open(data / "skeletons" / "dev.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            if half == "both" or first_half(row["template"]) == (half == "first"):
                by_name[row["template"]].append(row["prompt"])
    return dict(by_name)


def systems(data: Path, half: str) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in (data / "real_prompts" / "system_prompts_dev.jsonl").open()]
    return [
        (row["name"], row["system"]) for row in rows if half == "both" or first_half(row["name"]) == (half == "first")
    ]


def free_prompts(data: Path) -> list[str]:
    return [json.loads(line)["text"] for line in (data / "real_prompts" / "dev.jsonl").open()]


def filled(number: int, system: str, day: int, rng: random.Random, contents: Sequence[str]) -> str:
    """Fill parts into a system prompt. The number of the prompt decides which parts it has."""
    kind = number % 6
    if kind == 1:
        return f"Today is 2026-11-{day + 1:02d}.\n\n{system}"
    if kind == 2:
        who = f"{rng.choice(NAMES)} of {rng.choice(FIRMS)}"
        return f"{system}\n\nYou are talking to {who}, who has {rng.randrange(900)} points."
    if kind == 3:
        passages = "\n".join(f"[{n}] {rng.choice(contents)[:300]}" for n in range(1, rng.randrange(1, 6) + 1))
        return f"{system}\n\n# CONTEXT\n\n{passages}"
    if kind == 4 and rng.random() < 0.4:
        return f"{system}\n\nThe user prefers short answers."
    return system


def traffic(data: Path, half: str, rng: random.Random) -> list[MadeRequest]:
    """Make the requests of all applications, with a heavy tail, and a fifth of free prompts."""
    free = free_prompts(data)
    contents, alone = free[: len(free) // 2], free[len(free) // 2 :]
    made: list[MadeRequest] = []
    apps: list[tuple[str, list[str] | tuple[int, str]]] = [(f"t:{n}", p) for n, p in skeletons(data, half).items()]
    chosen = systems(data, half)
    rng.shuffle(chosen)
    apps += [(f"s:{n}", (number, s)) for number, (n, s) in enumerate(chosen[: 60 if half == "both" else 30])]
    rng.shuffle(apps)
    for rank, (name, source) in enumerate(apps):
        count = max(12, int(120 / (1 + 0.06 * rank)))
        if isinstance(source, list):
            made += [_request(name, None, text, rng) for text in rng.sample(source, min(count, len(source)))]
        else:
            number, system = source
            made += [_below(name, number, system, rng, contents) for _ in range(count)]
    wanted = min(len(made) // 4, len(alone))
    made += [_request(FREE, None, text, rng) for text in rng.sample(alone, wanted)]
    return sorted(made, key=lambda one: one.time_s)


def _below(name: str, number: int, system: str, rng: random.Random, contents: Sequence[str]) -> MadeRequest:
    day = rng.randrange(DAYS)
    if number % 6 == 5:
        return _request(name, None, f"{system}\n\n{rng.choice(contents)}", rng, day)
    return _request(name, filled(number, system, day, rng, contents), rng.choice(contents), rng, day)


def _request(name: str, system: str | None, text: str, rng: random.Random, day: int = -1) -> MadeRequest:
    turns = (Turn("user", text, 0),) if system is None else (Turn("system", system, 0), Turn("user", text, 1))
    at_s = START_S + 86400 * (rng.randrange(DAYS) if day < 0 else day) + rng.random() * 86400
    return MadeRequest(name, turns, f"u{rng.randrange(USERS)}", at_s)


def record(number: int, made: MadeRequest) -> ExchangeRecord:
    return ExchangeRecord(
        f"fw-{number:08d}",
        time_s=made.time_s,
        key=KEY,
        endpoint=CHAT,
        model="m",
        user=made.user,
        turns=made.turns,
        ending="finished",
        status=200,
        total_us=100_000,
        answer=Answer(text="fine", prompt_tokens=100, completion_tokens=10),
    )


def discovered(folder: Path, requests: Sequence[MadeRequest]) -> tuple[list[FoundPrompt], float]:
    """Record the requests, run the job, and return the prompts and the seconds that the job took."""
    _, settings = recorded(folder, requests)
    ledger = Ledger(jobs_folder(settings))
    began = time.monotonic()
    job = start(settings, ledger, "discover", {"since": "2020-01-01", "until": "2030-01-01"})
    took_s = time.monotonic() - began
    ledger.close()
    if job.state != "done":
        sys.exit(f"{job.state}: {job.reason}")
    return list(read_found(found_path(settings.data_folder)).prompts), took_s


class Score(Struct):
    right: float
    purity: float
    groups: float
    free: float
    lost: dict[str, str]


def score(index: PromptIndex, requests: Sequence[MadeRequest]) -> Score:
    """Compare the prompts with the truth.

    A prompt belongs to the skeleton of most of its requests. Of the prompts that belong to a skeleton, the one with the
    most of its requests counts as right.
    """
    by_truth: defaultdict[str, Counter[str]] = defaultdict(Counter)
    by_prompt: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for made in requests:
        match = index.find(KEY, CHAT, made.turns)
        name = match.prompt.id if match else ""
        by_truth[made.truth][name] += 1
        if name:
            by_prompt[name][made.truth] += 1
    owner = {name: counts.most_common(1)[0][0] for name, counts in by_prompt.items()}
    right = total = 0
    groups, lost = [], {}
    for truth, counts in by_truth.items():
        if truth == FREE:
            continue
        own = {name: n for name, n in counts.items() if name and owner[name] == truth}
        best, whole = max(own.values(), default=0), counts.total()
        right, total = right + best, total + whole
        if whole >= 20:
            groups.append(len([name for name in own if own[name] > 0.02 * whole]))
        if best < 0.95 * whole:
            lost[truth] = f"{best} of {whole}, {counts['']} unrecognised, {len(own)} groups"
    free = by_truth[FREE]
    pure = sum(max(counts.values()) for counts in by_prompt.values())
    matched = sum(counts.total() for counts in by_prompt.values())
    return Score(
        right / max(1, total),
        pure / max(1, matched),
        sum(groups) / max(1, len(groups)),
        1 - free[""] / max(1, free.total()),
        lost,
    )


def finding(data: Path, half: str, seed: int) -> None:
    rng = random.Random(seed)
    requests = traffic(data, half, rng)
    with tempfile.TemporaryDirectory() as folder:
        prompts, took_s = discovered(Path(folder), requests)
    truths = {made.truth for made in requests} - {FREE}
    show(f"{half}, seed {seed}: {len(requests)} requests of {len(truths)} prompts, {took_s:.1f} s", prompts, requests)
    learned, other = halves(requests, rng)
    with tempfile.TemporaryDirectory() as folder:
        prompts, _ = discovered(Path(folder), learned)
    show("  learned on one half of the requests, scored on the other", prompts, other)
    half = Counter(made.truth for made in learned)
    enough = [made for made in other if made.truth == FREE or half[made.truth] >= FEWEST_REQUESTS]
    rest = f"{len(other) - len(enough)} of {len(other)} requests left out"
    show(f"  the same, only prompts with {FEWEST_REQUESTS} requests in the half learned on; {rest}", prompts, enough)


def halves(requests: Sequence[MadeRequest], rng: random.Random) -> tuple[list[MadeRequest], list[MadeRequest]]:
    side = [rng.random() < 0.5 for _ in requests]
    return (
        [made for made, first in zip(requests, side, strict=True) if first],
        [made for made, first in zip(requests, side, strict=True) if not first],
    )


def show(title: str, prompts: Sequence[FoundPrompt], requests: Sequence[MadeRequest]) -> None:
    one = score(PromptIndex(prompts), requests)
    click.echo(title)
    click.echo(
        f"  {len(prompts)} found; under one right skeleton {one.right:.3f}; purity {one.purity:.3f}; "
        f"groups a skeleton {one.groups:.2f}; free prompts attached {one.free:.3f}"
    )
    for truth, how in sorted(one.lost.items()):
        click.echo(f"    lost: {truth}: {how}")


def deployments(data: Path, half: str, seed: int) -> None:
    """Change each prompt halfway: remove a line, add a line, or change the wording."""
    rng = random.Random(seed)
    contents = free_prompts(data)
    made: list[MadeRequest] = []
    chosen = rng.sample([one for one in systems(data, half) if 500 < len(one[1]) < 20_000], 24)
    for number, (name, system) in enumerate(chosen):
        changed = deployed(number % 3, system, rng)
        for _ in range(60):
            one = _below(name, number, system, rng, contents)
            new = _below(name, number, changed, rng, contents)
            later_s = 86400 * (DAYS + rng.random() * 0.01)
            new = replace(new, truth=f"{name}+", time_s=new.time_s + later_s)
            made += [one, new]
    made.sort(key=lambda one: one.time_s)
    with tempfile.TemporaryDirectory() as folder:
        prompts, _ = discovered(Path(folder), made)
    index = PromptIndex(prompts)
    refs: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for one in made:
        match = index.find(KEY, CHAT, one.turns)
        refs[one.truth][(match.prompt.id, match.version.number) if match else ("", 0)] += 1
    right = 0
    for name, _ in chosen:
        (old, old_count), (new, new_count) = refs[name].most_common(1)[0], refs[f"{name}+"].most_common(1)[0]
        good = old[0] == new[0] != "" and (old[1], new[1]) == (1, 2) and old_count == new_count == 60
        right += good
        if not good:
            click.echo(f"    not tied: {name}: {dict(refs[name])} then {dict(refs[name + '+'])}")
    click.echo(
        f"{half}, seed {seed}: {right} of {len(chosen)} changed prompts are version 1, then version 2 of one prompt"
    )


def deployed(kind: int, system: str, rng: random.Random) -> str:
    """Return a prompt as its developers might deploy it again."""
    lines = system.split("\n")
    places = [at for at, line in enumerate(lines) if len(line) > 20]
    at = rng.choice(places)
    if kind == 0:
        return "\n".join([*lines[:at], *lines[at + 1 :]])
    if kind == 1:
        return "\n".join([*lines[:at], "- Name the source of each claim that you make.", *lines[at:]])
    return "\n".join([*lines[:at], f"Note well: {lines[at].lower()}", *lines[at + 1 :]])


def recognition(data: Path, seed: int) -> None:
    """Find the prompts of all traffic. Then recognise requests of the applications and requests of others."""
    requests = traffic(data, "both", random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        prompts, _ = discovered(Path(folder), requests)
    index = PromptIndex(prompts)
    foreign = messages(data, FOREIGN)
    taken = sum(index.find(KEY, CHAT, (Turn("user", text),)) is not None for text in foreign)
    click.echo(f"{len(foreign)} messages of other sources: {taken} recognised")
    own = [made.turns for made in requests if made.truth != FREE]
    matches = [(turns, match) for turns in own if (match := index.find(KEY, CHAT, turns)) is not None]
    equal = sum(rendered(match) == texts_of(turns) for turns, match in matches)
    click.echo(f"{len(own)} requests of applications: {len(matches)} recognised, {equal} rendered byte for byte")
    many = PromptIndex(thousand(prompts))
    alike = PromptIndex([version_of(f"a{n}", TextShape((f"{ALIKE}{n}: ", f" End {n}."))) for n in range(1000)])
    free = [(Turn("user", text),) for text in free_prompts(data)]
    long_misses = [(Turn("user", text),) for text in long_texts(data, 20_000, 20)]
    long_hits = [(Turn("user", f"{ALIKE}{n}: {turns[0].text} End {n}."),) for n, turns in enumerate(long_misses)]
    longest = [(Turn("user", f"{ALIKE}7: {turns[0].text * 5} End."),) for turns in long_misses]
    for title, table, asked in (
        ("requests of applications", many, own),
        ("those of up to 20,000 characters", many, [turns for turns in own if chars(turns) <= 20_000]),
        ("free prompts, none recognised", many, free),
        ("novels, 20,000 characters, none recognised", many, long_misses),
        ("1,000 prompts with one beginning, 20,000 characters", alike, long_hits),
        ("the same, none recognised, 100,000 characters", alike, longest),
    ):
        mean_us, worst_us = timed(table, asked)
        click.echo(f"  {title}: {mean_us:.1f} us on average, {worst_us:.1f} us the slowest text")


def chars(turns: Sequence[Turn]) -> int:
    return sum(len(turn.text) for turn in turns)


def texts_of(turns: Sequence[Turn]) -> list[str]:
    return [turns[0].text, turns[-1].text] if turns[0].role == "system" else [turns[-1].text]


def rendered(match: PromptMatch) -> list[str]:
    texts, at = [], 0
    for shape in match.version.shapes:
        texts.append(shape.text(match.values[at : at + shape.parts]))
        at += shape.parts
    return texts


def version_of(id: str, last: TextShape, system: TextShape | None = None) -> FoundPrompt:
    return FoundPrompt(id, id, KEY, CHAT, (PromptVersion(1, system, last),))


def thousand(prompts: Sequence[FoundPrompt]) -> list[FoundPrompt]:
    """Return the prompts and copies of them, 1,000 in all. The first piece of a copy has an additional number."""
    copies = list(prompts)
    while len(copies) < 1000:
        one = prompts[len(copies) % len(prompts)].newest
        system, last, number = one.system, one.last, len(copies)
        if system is not None:
            system = TextShape((f"{system.pieces[0]} No. {number}.", *system.pieces[1:]))
        else:
            last = TextShape((f"{last.pieces[0]}No. {number}. ", *last.pieces[1:]))
        copies.append(version_of(f"c{number}", last, system))
    return copies


def timed(index: PromptIndex, asked: Sequence[tuple[Turn, ...]]) -> tuple[float, float]:
    """Return CPU microseconds per look-up: the mean over the requests and the slowest, best of five runs."""
    best = [float("inf")] * len(asked)
    for _ in range(5):
        for at, turns in enumerate(asked):
            # new strings, because Python caches the hash of a string
            fresh = tuple(Turn(turn.role, (turn.text + " ")[:-1]) for turn in turns)
            began = time.thread_time_ns()
            index.find(KEY, CHAT, fresh)
            best[at] = min(best[at], (time.thread_time_ns() - began) / 1000)
    return sum(best) / len(best), max(best)


def scale(data: Path, count: int, seed: int, kills: int, processes: int, keep: Path | None) -> None:
    """Record many requests, and run the job in a process of its own, which reports its memory. With `kills`, kill it so
    many times, and compare its outcome with that of a run that nobody killed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if keep is None else keep / f"{count}-{seed}"
        config, settings = kept_records(folder, data, count, seed)
        size_mb = sum(file.stat().st_size for file in settings.data_folder.rglob("*.db*")) / 2**20
        began = time.monotonic()
        subprocess.run(job_command(config, processes), check=True, stdout=subprocess.DEVNULL)
        took_s = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        file = found_path(settings.data_folder)
        prompts = read_found(file).prompts
        click.echo(
            f"{count} records ({size_mb:.0f} MB): {took_s:.0f} s, {(used.ru_utime + used.ru_stime):.0f} s of CPU, "
            f"{used.ru_maxrss / 1024:.0f} MB in the largest process, {len(prompts)} prompts"
        )
        if kills:
            file.unlink()
            killed = 0
            while killed < kills and kill_once(config, processes, took_s / (kills + 1)):
                killed += 1
            if killed == kills:
                subprocess.run([*job_command(config, processes), "--continue"], check=True, stdout=subprocess.DEVNULL)
            same = without_end(read_found(file).prompts) == without_end(prompts)
            click.echo(f"killed {killed} times: {'the same' if same else 'other'} prompts and figures")


def kept_records(folder: Path, data: Path, count: int, seed: int) -> tuple[Path, Settings]:
    """Make the records, or take those that an earlier run left in the folder, without what its job found."""
    config, complete = folder / "config.toml", folder / "complete"
    if not complete.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _, settings = recorded(folder, many_requests(data, count, random.Random(seed)))
        complete.touch()
        return config, settings
    settings = load(config)
    found_path(settings.data_folder).unlink(missing_ok=True)
    shutil.rmtree(jobs_folder(settings), ignore_errors=True)
    return config, settings


def without_end(prompts: Sequence[FoundPrompt]) -> list[FoundPrompt]:
    """Return the prompts without the time up to which they are counted, which is the time of the run."""
    return [replace(prompt, counted_s=0.0) for prompt in prompts]


def recorded(folder: Path, made: Iterable[MadeRequest]) -> tuple[Path, Settings]:
    config = folder / "config.toml"
    config.write_text('[backends.m]\nkind = "scripted"\nname = "m"\n')
    settings = load(config)
    database = Database.open(database_url(settings))
    for batch in batched(enumerate(made), 1000):
        database.insert([record(number, one) for number, one in batch])
    database.close()
    return config, settings


def batched(items: Iterable[tuple[int, MadeRequest]], size: int) -> Iterator[list[tuple[int, MadeRequest]]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def job_command(config: Path, processes: int) -> list[str]:
    words = ["since=2020-01-01", "until=2030-01-01", "portion=2000"]
    words += ["--processes", str(processes), "--config", str(config)]
    return [sys.executable, "-m", "gateway.cli.main", "jobs", "run", "discover", *words]


def kill_once(config: Path, processes: int, after_s: float) -> bool:
    """Start or resume the job, and kill it after some seconds. Returns whether it was still running."""
    process = subprocess.Popen([*job_command(config, processes), "--continue"], stdout=subprocess.DEVNULL)
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def many_requests(data: Path, count: int, rng: random.Random) -> Iterator[MadeRequest]:
    """Make requests with a heavy tail. A number in the user message makes almost all of them distinct."""
    contents = [*free_prompts(data), *messages(data, FOREIGN)]
    apps = [*skeletons(data, "both").items(), *systems(data, "both")]
    rng.shuffle(apps)
    weights = [1 / (1 + rank) for rank in range(len(apps))]
    for number in range(count):
        if rng.random() < 0.2:
            yield _request(FREE, None, rng.choice(contents), rng)
            continue
        name, source = rng.choices(apps, weights)[0]
        if isinstance(source, list):
            yield _request(name, None, rng.choice(source), rng)
        elif len(source) < 20_000:
            kind = int(sha256(name.encode()).hexdigest(), 16) % 5
            yield _below(name, kind, source, rng, [f"{rng.choice(contents)} ({number})"])


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--half", type=click.Choice(["first", "second", "both"]), default="first", show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="How many seeds, from --seed on.")
@click.option("--only", type=click.Choice(["finding", "deployments", "recognition"]), help="Left out: all.")
@click.option("--records", default=0, help="Only how long the job takes for so many records.")
@click.option("--kills", default=0, help="With --records: how often the job is killed in a second run.")
@click.option("--processes", default=1, show_default=True, help="With --records: the processes of the job.")
@click.option("--keep", type=click.Path(path_type=Path), help="With --records: make them once, and keep them here.")
def main(
    data: Path,
    half: str,
    seed: int,
    seeds: int,
    only: str | None,
    records: int,
    kills: int,
    processes: int,
    keep: Path | None,
) -> None:
    if records:
        scale(data, records, seed, kills, processes, keep)
        return
    for one in range(seed, seed + seeds):
        if only in (None, "finding"):
            finding(data, half, one)
        if only in (None, "deployments"):
            deployments(data, half, one)
        if only in (None, "recognition"):
            recognition(data, one)


if __name__ == "__main__":
    main()

"""Tasks with more text than a small window holds: the question, the text, and how to score an answer."""

import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.rouge import NAMES, longest_common, rouge

WORDS = (
    "lantern", "harbour", "violin", "glacier", "orchard", "compass", "meadow", "anchor", "saddle", "mirror",
    "candle", "falcon", "barrel", "temple", "garden", "feather", "bridge", "castle", "ribbon", "whistle",
)  # fmt: skip
KINDS = 6
PASSAGES = 9
PASSAGE_WORDS = 70
TEXT_WORDS = 680
SUMMARY_TOKENS = 80
ANSWER_TOKENS = 32


@dataclass(frozen=True)
class Case:
    """`score` rates an answer from 0 to 1. `held` rates a prompt: how much of what the answer needs it contains."""

    kind: str
    task: str
    text: str
    max_tokens: int
    score: Callable[[str], float]
    held: Callable[[str], float] | None = None
    """None: the same as `score`."""

    @property
    def message(self) -> str:
        return f"{self.text}\n\n{self.task}"


def cases(data: Path, first: int, each: int) -> Iterator[Case]:
    """Yield `each` cases of every kind from number `first` on. Kinds alternate, so that any part is balanced."""
    for number in range(first, first + each):
        yield from (make(data, number) for make in (look_up, passages, excerpt, plot, inventory, proofread))


def recall(answers: Sequence[str]) -> Callable[[str], float]:
    """Return a score: the share of the answers that occur. `answers` has one spelling of each."""
    return lambda said: sum(answer.casefold() in said.casefold() for answer in answers) / len(answers)


def any_of(answers: Sequence[str]) -> Callable[[str], float]:
    return lambda said: float(any(answer.casefold() in said.casefold() for answer in answers))


def rouge_l(references: Sequence[str]) -> Callable[[str], float]:
    """Return a score: ROUGE-L F1 against the nearest reference."""
    place = NAMES.index("ROUGE-L")
    return lambda said: max(rouge(said, reference)[place] for reference in references)


def look_up(data: Path, number: int) -> Case:
    """One number to find in nine similar passages."""
    draw = random.Random(f"look-up {number}")
    facts = [(word, str(draw.randrange(10_000, 100_000))) for word in draw.sample(WORDS, PASSAGES)]
    said = [_with_fact(_novel(data, draw, PASSAGE_WORDS), fact) for fact in facts]
    word, digits = draw.choice(facts)
    return Case(
        "look-up", f"What is the secret number of the {word}?", _numbered(said), ANSWER_TOKENS, any_of([digits])
    )


def passages(data: Path, number: int) -> Case:
    """A real question over the passage that answers it and eight others."""
    draw = random.Random(f"nq {number}")
    rows = [json.loads(line) for line in (data / "nq_open/dev.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["ctxs"]]
    asked, *others = draw.sample(rows, PASSAGES)
    texts = []
    for row in (asked, *others):
        words = row["ctxs"][0]["text"].split()[: 2 * PASSAGE_WORDS]
        texts.append(f"{row['ctxs'][0]['title']}: " + " ".join(words))
    draw.shuffle(texts)
    return Case("nq passages", asked["question"] + "?", _numbered(texts), ANSWER_TOKENS, any_of(asked["answers"]))


def excerpt(data: Path, number: int) -> Case:
    """A question about one place in a document, with the text around that place."""
    draw = random.Random(f"excerpt {number}")
    rows = [json.loads(line) for line in (data / "chunking_eval/questions_dev.jsonl").read_text("utf-8").splitlines()]
    row = rows[draw.randrange(len(rows))]
    found = json.loads(row["references"])
    text = (data / "chunking_eval" / f"{row['corpus_id']}.md").read_text("utf-8")
    chars = TEXT_WORDS * 6
    start = max(0, found[0]["start_index"] - draw.randrange(chars))
    references = [one["content"] for one in found if start <= one["start_index"] and one["end_index"] < start + chars]
    joined = " ".join(references or [found[0]["content"]])
    return Case(
        "document", row["question"], text[start : start + chars], 2 * ANSWER_TOKENS, rouge_l([joined]), _found(joined)
    )


def plot(data: Path, number: int) -> Case:
    """The plot of a story, of which the beginning is given."""
    with gzip.open(data / "squality_dev.jsonl.gz", "rt", "utf-8") as file:
        stories = [json.loads(line) for line in file]
    story = stories[number % len(stories)]
    asked = next(one for one in story["questions"] if "plot" in one["question_text"])
    references = [one["response_text"] for one in asked["responses"]]
    text = "\n\n".join(_paragraphs(" ".join(story["document"].split()[:TEXT_WORDS])))
    return Case("plot", asked["question_text"], text, SUMMARY_TOKENS, rouge_l(references))


def inventory(data: Path, number: int) -> Case:
    """Six numbers spread over one text, all asked for."""
    draw = random.Random(f"inventory {number}")
    facts = [(word, str(draw.randrange(10_000, 100_000))) for word in draw.sample(WORDS, 6)]
    text = "\n\n".join(_with_fact(_novel(data, draw, TEXT_WORDS // 6), fact) for fact in facts)
    digits = [number for _, number in facts]
    return Case("inventory", "List all the secret numbers that the text names.", text, SUMMARY_TOKENS, recall(digits))


def proofread(data: Path, number: int) -> Case:
    """The whole text once more without mistakes. Each of six numbers in it has to be in the answer."""
    case = inventory(data, number)
    task = "Proofread the text and return the corrected text in full."
    return replace(case, kind="proofread", task=task, max_tokens=0)


def _found(reference: str) -> Callable[[str], float]:
    """Return a score: the share of the reference's words that occur in the prompt in the same order."""
    words = reference.lower().split()
    return lambda said: longest_common(said.lower().split(), words) / len(words)


def _novel(data: Path, draw: random.Random, words: int) -> str:
    text = (data / "long_texts/frankenstein_en.txt").read_text("utf-8").split()
    start = draw.randrange(2000, len(text) - 3000)
    return " ".join(text[start : start + words])


def _with_fact(text: str, fact: tuple[str, str]) -> str:
    words = text.split()
    place = len(words) // 2
    said = f"The secret number of the {fact[0]} is {fact[1]}."
    return " ".join([*words[:place], said, *words[place:]])


def _numbered(texts: Sequence[str]) -> str:
    return "\n\n".join(f"[{n}] {text}" for n, text in enumerate(texts, 1))


def _paragraphs(text: str, words: int = 120) -> list[str]:
    found = text.split()
    return [" ".join(found[start : start + words]) for start in range(0, len(found), words)]

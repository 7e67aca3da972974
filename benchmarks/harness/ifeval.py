"""Checks whether an answer follows IFEval's instructions, by the published definition of each kind.

`language:response_language` is not covered, because it needs a language detector for dozens of languages. Words and
sentences are counted by patterns, not by NLTK's tokenizers, so a count near its limit may be judged differently.
Prompts with an uncovered kind are left out.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Arguments = Mapping[str, Any]
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_SENTENCE = re.compile(r"[^.!?\n]*\w[^.!?\n]*(?:[.!?]+|\n|$)")
_BULLET = re.compile(r"^\s*(?:\*[^*].*|-.*)$", re.MULTILINE)
_HIGHLIGHT = re.compile(r"\*\*[^*\n]+\*\*|\*[^*\n]+\*")
CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


@dataclass(frozen=True)
class Prompt:
    """A request, and its instructions as (kind, arguments)."""

    text: str
    instructions: tuple[tuple[str, Arguments], ...]

    def followed(self, answer: str) -> int:
        """Return how many instructions the answer follows. An empty answer follows none."""
        return sum(bool(answer.strip()) and KINDS[kind](answer, given) for kind, given in self.instructions)


def read(data: Path, limit: int) -> tuple[list[Prompt], int]:
    """Return evenly spaced prompts with only covered kinds, and how many such prompts there are."""
    found = []
    rows = [json.loads(line) for line in (data / "ifeval" / "dev.jsonl").read_text("utf-8").splitlines()]
    for row in rows:
        kinds = row["instruction_id_list"]
        if all(kind in KINDS for kind in kinds):
            found.append(Prompt(row["prompt"], tuple(zip(kinds, row["kwargs"], strict=True))))
    step = max(1, len(found) // limit)
    return found[::step][:limit], len(rows)


def _words(answer: str) -> list[str]:
    return _WORD.findall(answer)


def _holds(count: int, relation: str, wanted: int) -> bool:
    """Compare a count by one of the two relations in the data."""
    return count < wanted if relation == "less than" else count >= wanted


def _number_words(answer: str, given: Arguments) -> bool:
    return _holds(len(_words(answer)), given["relation"], given["num_words"])


def _number_sentences(answer: str, given: Arguments) -> bool:
    return _holds(len(_SENTENCE.findall(answer)), given["relation"], given["num_sentences"])


def _number_paragraphs(answer: str, given: Arguments) -> bool:
    parts = re.split(r"\s?\*\*\*\s?", answer)
    inner = parts[1:-1]
    return all(part.strip() for part in inner) and sum(bool(part.strip()) for part in parts) == given["num_paragraphs"]


def _nth_paragraph(answer: str, given: Arguments) -> bool:
    paragraphs = [part.strip() for part in re.split(r"\n\n", answer) if part.strip()]
    nth = given["nth_paragraph"]
    if len(paragraphs) != given["num_paragraphs"] or nth > len(paragraphs):
        return False
    first = _words(paragraphs[nth - 1])[:1]
    return [word.lower() for word in first] == [given["first_word"].lower()]


def _letters(answer: str, given: Arguments) -> bool:
    count = answer.lower().count(given["letter"].lower())
    return _holds(count, given["let_relation"], given["let_frequency"])


def _frequency(answer: str, given: Arguments) -> bool:
    count = len(re.findall(re.escape(given["keyword"]), answer, re.IGNORECASE))
    return _holds(count, given["relation"], given["frequency"])


def _existence(answer: str, given: Arguments) -> bool:
    return all(word.lower() in answer.lower() for word in given["keywords"])


def _forbidden(answer: str, given: Arguments) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in given["forbidden_words"])


def _capital_words(answer: str, given: Arguments) -> bool:
    count = sum(word.isupper() for word in _words(answer))
    return _holds(count, given["capital_relation"], given["capital_frequency"])


def _sections(answer: str, given: Arguments) -> bool:
    marks = re.findall(rf"\s?{re.escape(given['section_spliter'])}\s?\d+\s?", answer)
    return len(marks) >= int(given["num_sections"])


def _placeholders(answer: str, given: Arguments) -> bool:
    return len(re.findall(r"\[.*?\]", answer)) >= int(given["num_placeholders"])


def _json(answer: str, _: Arguments) -> bool:
    fenced = re.fullmatch(r"\s*```(?:json)?\n(.*?)\n?```\s*", answer, re.DOTALL | re.IGNORECASE)
    try:
        json.loads(fenced[1] if fenced else answer)
    except ValueError:
        return False
    return True


def _two_responses(answer: str, _: Arguments) -> bool:
    parts = [part.strip() for part in answer.split("******") if part.strip()]
    return len(parts) == 2 and parts[0] != parts[1]


def _postscript(answer: str, given: Arguments) -> bool:
    letters = [re.escape(letter) for letter in given["postscript_marker"].replace(".", "")]
    return re.search(rf"\b{r'[.]?[ ]?'.join(letters)}\b", answer, re.IGNORECASE) is not None


KINDS: dict[str, Callable[[str, Arguments], bool]] = {
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": lambda answer, _: answer.isupper(),
    "change_case:english_lowercase": lambda answer, _: answer.islower(),
    "combination:repeat_prompt": lambda answer, given: (
        answer.strip().lower().startswith(given["prompt_to_repeat"].strip().lower())
    ),
    "combination:two_responses": _two_responses,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:constrained_response": lambda answer, _: any(one in answer for one in CONSTRAINED),
    "detectable_format:json_format": _json,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:number_bullet_lists": lambda answer, given: (
        len(_BULLET.findall(answer)) == int(given["num_bullets"])
    ),
    "detectable_format:number_highlighted_sections": lambda answer, given: (
        len(_HIGHLIGHT.findall(answer)) >= int(given["num_highlights"])
    ),
    "detectable_format:title": lambda answer, _: re.search(r"<<[^\n]*\w[^\n]*>>", answer) is not None,
    "keywords:existence": _existence,
    "keywords:forbidden_words": _forbidden,
    "keywords:frequency": _frequency,
    "keywords:letter_frequency": _letters,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_words": _number_words,
    "punctuation:no_comma": lambda answer, _: "," not in answer,
    "startend:end_checker": lambda answer, given: (
        answer.strip().strip('"').lower().endswith(given["end_phrase"].strip().lower())
    ),
    "startend:quotation": lambda answer, _: len(answer.strip()) > 1 and answer.strip()[0] == answer.strip()[-1] == '"',
}

"""The head that comes with the gateway, on tasks that are not among its patterns."""

import re

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.context.embedding.sentence import SentenceEmbedder
from gateway.context.task.classes import with_names, with_signs
from gateway.context.task.grammar import digest, patterns_of, tasks
from gateway.context.task.head import PROBE, TaskKind, shipped
from gateway.context.task.rules import is_order, ruled


def test_the_head_was_trained_on_the_patterns_that_come_with_it() -> None:
    assert shipped().trained_on == digest(), "run: foreword classifier train-tasks --out gateway/context/task/head.npz"


def test_it_knows_its_own_embedder_and_no_other(minilm: SentenceEmbedder) -> None:
    (probe,) = minilm.embed([PROBE])
    assert shipped().understands(probe)
    assert not shipped().understands(np.roll(probe, 1))
    assert not shipped().understands(np.ones(768, np.float32))


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("Who fitted the pump in hall B?", TaskKind.PLACE),
        ("Could you sum that up for me?", TaskKind.SUMMARY),
        ("List every supplier that is named.", TaskKind.WHOLE),
        ("Kindly translate all of it into Dutch.", TaskKind.TRANSFORM),
        ("二号车间装的是哪种泵？", TaskKind.PLACE),
        ("麻烦概括一下。", TaskKind.SUMMARY),
        ("列出提到的每一家供应商。", TaskKind.WHOLE),
        ("请把全文译成德语。", TaskKind.TRANSFORM),
        ("Here is my question: 请把全文译成德语。", TaskKind.TRANSFORM),
    ],
)
def test_a_task_is_told_by_its_words(task: str, kind: TaskKind) -> None:
    head = shipped()
    assert head.verdict(head.units(task)).kind is kind


def test_a_sentence_that_asks_for_nothing_moves_nothing() -> None:
    head = shipped()
    units = head.units("The board meets on Monday. Translate the whole letter into German. Thanks a lot!")
    assert head.verdict(units).kind is TaskKind.TRANSFORM


@pytest.mark.parametrize("language", ["en", "zh"])
def test_there_are_thousands_of_different_tasks_of_every_kind(language: str) -> None:
    made = list(tasks(patterns_of(language), 12, 1))
    assert len({task.text for task in made}) > 1800
    assert {task.kind for task in made} == {kind.value for kind in TaskKind}
    assert not any(re.search(r"\{\w+\}|\|\)|\(\w+\|", task.text) for task in made)


def test_a_new_pattern_changes_no_task_of_the_others() -> None:
    patterns = patterns_of("en")
    some = {task.text for task in tasks(patterns, 3, 1)}
    more = {**patterns.kinds, "summary": ("what became of (it|them)?", *patterns.kinds["summary"])}
    assert some <= {task.text for task in tasks(replace(patterns, kinds=more), 3, 1)}


@pytest.mark.parametrize(
    ("one", "other"),
    [("into french, nothing else", "into swedish, nothing else"), ("as yaml", "as toml")],
)
def test_words_of_one_class_are_read_alike(one: str, other: str) -> None:
    assert with_names(one) == with_names(other) != one


def test_so_are_those_of_a_language_without_spaces() -> None:
    assert with_signs("译成法语") == with_signs("译成泰语") != "译成法语"


def test_a_rule_needs_the_first_words() -> None:
    assert ruled("Please translate this.", "en") == TaskKind.TRANSFORM
    assert not is_order("Who can translate this?", "en")
    assert not is_order("When the rain had stopped, they went on.", "en")

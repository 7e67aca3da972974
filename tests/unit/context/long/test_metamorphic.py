"""What must not change the choice: noise, length, the place of the task, courtesy, other words, the other language."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.context.embedding.sentence import SentenceEmbedder
from gateway.context.long.choose import FEW_PARTS, Powers, Strategy, choose
from gateway.context.long.meaning import with_meaning
from gateway.context.long.shape import shape_of
from gateway.context.task.head import TaskKind
from gateway.ports import Vectors

TASKS = {
    Strategy.TREE: (
        "Summarise the text.", "Give me the gist of it.", "What are the key points?", "Write a short overview.",
        "请总结全文。", "概括一下主要内容。", "写一份摘要。", "用三句话说说大意。",
    ),
    Strategy.GATHER: (
        "How many times does she travel?", "List all the names.", "Compare the two halves.", "Which comes most often?",
        "她一共旅行了几次？", "列出所有的名字。", "比较前半部分和后半部分。", "哪个出现得最多？",
    ),
    Strategy.FOCUS: (
        "Who wrote the letter?", "What colour was the door?", "Where did the ship land?", "Why did she leave?",
        "信是谁写的？", "门是什么颜色的？", "船在哪里靠岸？", "她为什么离开？",
    ),
    Strategy.PIECEWISE: (
        "Translate it into French.", "Proofread the text.", "Rewrite this in plain English.", "Convert it to Markdown.",
        "翻译成英文。", "校对全文。", "把全文改写成白话文。", "逐句润色。",
    ),
}  # fmt: skip
PARAGRAPHS = (
    "The morning was cold and the harbour lay still. Nobody had slept.",
    "Anna opened the window and saw that the snow had gone. She put on her coat.",
    "The doctor came late and stayed for an hour; his hat lay on the chair.",
    "早晨很冷，港口一片寂静，没有人睡着。",
    "安娜打开窗户，看见雪已经融化了，于是穿上了大衣。",
)
NOISE = ("Copper melts at 1,085 degrees.", "The museum opens at nine.", "今天下午有小雨。")
ABLE = Powers(calls=True, logits=True)

documents = st.lists(st.sampled_from(PARAGRAPHS), min_size=6, max_size=30)
expectations = st.sampled_from([(kind, task) for kind, tasks in TASKS.items() for task in tasks])


def chosen(
    task: str, pieces: Sequence[str], powers: Powers = ABLE, *, first: bool = False, parts: int = 12
) -> Strategy:
    text = "\n\n".join(pieces)
    message = f"{task}\n\n{text}" if first else f"{text}\n\n{task}"
    choice = choose(shape_of(message), talk=False, parts=parts, prompt_tokens=1000 * parts, powers=powers)
    assert choice is not None
    return choice.strategy


@given(expectations, documents, st.booleans())
def test_the_same_task_gets_the_same_strategy_whatever_its_words_language_place_and_text(
    expected: tuple[Strategy, str], pieces: list[str], first: bool
) -> None:
    kind, task = expected
    assert chosen(task, pieces, first=first) is kind


@given(expectations, documents, st.lists(st.tuples(st.sampled_from(NOISE), st.integers(0, 40)), max_size=20))
def test_irrelevant_pieces_move_nothing(
    expected: tuple[Strategy, str], pieces: list[str], noise: list[tuple[str, int]]
) -> None:
    kind, task = expected
    for piece, place in noise:
        pieces.insert(min(place, len(pieces)), piece)
    assert chosen(task, pieces) is kind


@given(st.sampled_from(TASKS[Strategy.FOCUS]), st.integers(3, 30), st.integers(0, 30))
def test_more_passages_are_read_beside_each_other_like_fewer(task: str, count: int, more: int) -> None:
    passages = [f"Passage {n}: the key of room {n} hangs on hook {n * 3}." for n in range(1, count + more + 1)]
    assert chosen(task, passages[:count]) is chosen(task, passages) is Strategy.NBCE


ORDER = {
    "Summarise it in chronological order.": [Strategy.REFINE, Strategy.TREE],
    "List all the names.": [Strategy.INTERPOLATED, Strategy.GATHER],
    "Who wrote the letter?": [Strategy.FOCUS],
    "Summarise the text.": [Strategy.TREE],
}


@given(st.sampled_from(sorted(ORDER)), documents, st.integers(2, 40), st.integers(0, 40))
def test_a_longer_document_moves_a_choice_in_one_direction_only(
    task: str, pieces: list[str], parts: int, more: int
) -> None:
    able = Powers(calls=True, stretched_tokens=1000 * FEW_PARTS)
    before, after = (chosen(task, pieces * times, able, parts=n) for times, n in ((1, parts), (3, parts + more)))
    assert ORDER[task].index(before) <= ORDER[task].index(after)


@given(expectations, documents, st.sampled_from(["Please. ", "Hello! ", "Here is my question: ", "请问，"]))
def test_courtesy_moves_nothing(expected: tuple[Strategy, str], pieces: list[str], opening: str) -> None:
    kind, task = expected
    assert chosen(opening + task, pieces) is kind


MEANINGS = {
    TaskKind.SUMMARY: (
        "Explain what the document says.",
        "What is its central message?",
        "What is the author telling us?",
    ),
    TaskKind.WHOLE: ("Which people occur in the text?", "Put all the events in order of time."),
    TaskKind.PLACE: ("Who is the owner of the car?", "What time does the train leave?", "How did the fire start?"),
    TaskKind.TRANSFORM: ("Put all of it into Italian.", "Give me a version without spelling mistakes."),
}


@pytest.mark.parametrize(("kind", "task"), [(kind, task) for kind, tasks in MEANINGS.items() for task in tasks])
async def test_the_meaning_of_a_task_tells_its_kind(minilm: SentenceEmbedder, kind: TaskKind, task: str) -> None:
    async def embed(texts: Sequence[str]) -> Vectors:
        return minilm.embed(texts)

    shape = await with_meaning(shape_of("\n\n".join([*PARAGRAPHS, task])), embed)
    assert shape.kind is kind

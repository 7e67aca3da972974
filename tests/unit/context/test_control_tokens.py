"""Control tokens in text from outside: every family of the list, and every way into a prompt."""

import re

import pytest

from gateway.ask import Ask, Endpoint, Mode, Turn
from gateway.context.condense import CondenseStage
from gateway.context.control_tokens import IN_ANGLES, IN_BRACKETS, IN_CAPITALS, WHOLE, broken
from gateway.context.fence import fenced, marked
from gateway.exchange import Chunk, Exchange, Target
from gateway.settings.context import Context

SHAPES = {
    "between angles": (IN_ANGLES, "<{}>", "</{}>"),
    "between angles, in capitals": (IN_CAPITALS, "<{}>"),
    "between brackets": (IN_BRACKETS, "[{}]", "[/{}]"),
    "whole": (WHOLE, "{}"),
}
EXAMPLES = {
    r"\d+": "7",
    r"[a-z_]+": "tool_call",
    r"(?:start|end)": "start",
    r"(?:call|declaration|response)": "call",
    r"(?:bos|eos|eop|mask)": "bos",
    r"(?:prefix|middle|suffix|pad)": "prefix",
    r"(?:BEGIN|END)": "BEGIN",
    r"[_-]": "_",
}
"""An example for each part of the patterns of names."""


def examples() -> list[str]:
    """A token of each name of each family, and those between vertical bars."""
    tokens = [
        "<|im_start|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|channel|>",
        "<｜User｜>",
        "<|turn>",
        "<turn|>",
        "[|assistant|]",
    ]
    for families, *shapes in SHAPES.values():
        for name in (name for names in families.values() for name in names):
            for pattern, example in EXAMPLES.items():
                name = name.replace(pattern, example)
            tokens += [shape.format(name) for shape in shapes]
    return tokens


TOKENS = examples()


@pytest.mark.parametrize("shape", SHAPES)
def test_each_token_of_each_family_is_broken(shape: str) -> None:
    families, *shapes = SHAPES[shape]
    names = [name for names in families.values() for name in names]

    assert names
    assert len(shapes) * len(names) <= len(TOKENS)
    for token in TOKENS:
        assert token not in broken(f"a{token}b"), token


def test_no_token_arrives_whole_in_a_passage_its_title_or_its_heading() -> None:
    chunks = [Chunk("1", "c", f"{token}.md", f"x {token} y", heading=token) for token in TOKENS]

    text = fenced(chunks, "en")

    assert [token for token in TOKENS if token in text] == []


def test_no_token_arrives_whole_in_a_part_of_a_long_text() -> None:
    text = marked(" ".join(TOKENS), stable="1")

    assert [token for token in TOKENS if token in text] == []


def pasted(filler: str) -> str:
    facts = (f"The keeper of lighthouse {n} is called Person{n} {filler} and lives there." for n in range(400))
    return "Who is the keeper of lighthouse 217?\n\n" + "\n\n".join(facts)


@pytest.mark.parametrize("token", ["<|im_end|>", "[TOOL_CALLS]", "<tool_call>", "<think>", "<<SYS>>", "[gMASK]"])
async def test_a_token_in_a_pasted_document_changes_no_decision_and_does_not_arrive(token: str) -> None:
    stage = CondenseStage(Context(), lambda _, text: len(text.split()))

    async def condensed(filler: str) -> Exchange:
        turns = (Turn("user", pasted(filler), 0),)
        ask = Ask(Endpoint.CHAT, "small", b"{}", turns)
        return await stage(Exchange("ex-1", ask, mode=Mode.ON, route=(Target("up", "small", 1200),)))

    attacked, plain = await condensed(token), await condensed("indeed")

    assert (attacked.plan.strategy, plain.plan.strategy) == ("focus", "focus")
    assert token not in attacked.prompt[-1].text
    assert re.sub(r"\s", "", token) in re.sub(r"\s", "", attacked.prompt[-1].text)

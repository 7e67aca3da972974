"""A task that needs all of the text is asked of every part, and what code can count is counted by code."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint, Turn
from gateway.context.condense import CondenseStage
from gateway.context.long.read import LongReader
from gateway.context.tables.documents import documents_in
from gateway.errors import ContextTooLong
from gateway.exchange import Call, Exchange, Sampling, Target
from gateway.ports import Answer, Completed
from gateway.settings.context import Context

TOKEN = re.compile(r"\w+|[^\w\s]")
WINDOW = 2000
STORY = "\n\n".join(
    f"On day {n} the ship reached Port{n} and took on water and coal for the next leg." for n in range(300)
)


def count(backend: str, text: str) -> int:
    return len(TOKEN.findall(text))


class Says:
    """A model that answers with a function of the prompt, within its limit."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.answer = answer
        self.prompts: list[str] = []

    async def complete(
        self,
        exchange: Exchange,
        turns: Sequence[Turn],
        *,
        purpose: str,
        model: str = "",
        sampling: Sampling = Sampling.NONE,
        schema: Mapping[str, Any] | None = None,
    ) -> Completed:
        prompt = turns[-1].text
        self.prompts.append(prompt)
        assert count("", prompt) + sampling.max_tokens <= WINDOW
        words = self.answer(prompt).split(" ")
        said = " ".join(words)
        while count("", said) > sampling.max_tokens:
            words.pop()
            said = " ".join(words)
        written = sampling.max_tokens if len(words) < len(self.answer(prompt).split(" ")) else count("", said)
        return Completed(Answer(said), Call(purpose, "up", "small", count("", prompt), written))


def ports(prompt: str) -> str:
    return "\n".join(f"- {name}" for name in re.findall(r"Port\d+", prompt)) or "nothing"


def asked(text: str, task: str, *, strategy: str = "", dry: bool = False) -> Exchange:
    turns = (Turn("user", f"{task}\n\n{text}", 0),)
    ask = Ask(Endpoint.CHAT, "small", b"{}", turns, controls=Controls(strategy=strategy))
    return Exchange("x", ask, dry=dry, route=(Target("up", "small", WINDOW),))


async def gathered(exchange: Exchange, model: Says, **settings: int) -> Exchange:
    return await CondenseStage(Context(**settings), count, LongReader(model, 4))(exchange)


def fits(exchange: Exchange) -> bool:
    return sum(count("", turn.text) for turn in exchange.prompt) <= WINDOW - 256


async def test_the_clients_own_question_is_asked_of_every_part_and_lists_are_counted() -> None:
    model = Says(lambda prompt: "\n".join(f"- day {n}" for n in re.findall(r"day (\d+0) ", prompt)) or "nothing")
    done = await gathered(asked(STORY, "List all the days on which the number ends with a zero."), model)
    data = done.notes[-1].data
    assert done.plan.strategy == "gather"
    assert all("Task: List all the days on which" in prompt for prompt in model.prompts)
    assert (data["items"], data["different_items"], data["unread"], data["cut"]) == (29, 29, 0, 0)
    assert len(model.prompts) <= data["quote"]["calls"]
    assert "29 items in all, 29 different" in done.prompt[-1].text
    assert done.prompt[-1].text.endswith("List all the days on which the number ends with a zero.")
    assert fits(done)


async def test_a_list_that_outgrows_the_window_is_the_answer() -> None:
    story = STORY.replace("Port", "Port Saint Mary de ")
    model = Says(lambda prompt: "\n".join(f"- {name}" for name in re.findall(r"Port Saint Mary de \d+", prompt)))
    done = await gathered(asked(story, "List every port that is mentioned."), model)
    assert done.composed.split("\n") == [f"- Port Saint Mary de {n}" for n in range(300)]
    assert "it is the answer" in done.notes[-1].reason


async def test_an_answer_at_its_limit_is_read_again_in_halves_or_said_to_be_cut() -> None:
    done = await gathered(
        asked(STORY, "List every port that is mentioned."), Says(ports), gather_tokens=60, note_tokens=60
    )
    data = done.notes[-1].data
    items = len(done.composed.split("\n")) if done.composed else data["items"]
    assert items == 300 or data["cut"] > 0


async def test_an_answer_at_its_limit_is_not_kept_and_another_key_gets_no_kept_answer() -> None:
    model = Says(lambda prompt: "one two three" if prompt == "short" else "word " * 50)
    reader = LongReader(model, 1)
    exchange = asked(STORY, "List every port that is mentioned.")
    other = replace(exchange, key=replace(exchange.key, name="another"))
    for asking in (exchange, exchange, other):
        await reader.ask(asking, "long", "map", 20)
    assert len(model.prompts) == 3
    for asking in (exchange, exchange, other):
        await reader.ask(asking, "short", "map", 20)
    assert model.prompts[3:] == ["short", "short"]


async def test_where_no_part_has_anything_the_answer_is_none_and_not_a_few_passages() -> None:
    done = await gathered(asked(STORY, "List all the animals that are mentioned."), Says(lambda prompt: "Nothing."))
    assert done.plan.strategy == "gather"
    assert done.notes[-1].data["items"] == 0
    assert "0 items in all" in done.prompt[-1].text


async def test_results_that_are_no_lists_are_merged_by_the_model() -> None:
    model = Says(lambda prompt: "The ship goes on and on. " * 4)
    done = await gathered(asked(STORY, "How does the mood change over the course of the text?"), model)
    assert done.plan.strategy == "gather"
    assert "items" not in done.notes[-1].data
    assert fits(done)


async def test_a_task_on_a_table_gets_figures_of_all_rows_and_no_call_is_made() -> None:
    rows = "\n".join(f"item {n},{'North' if n % 3 else 'South'},{n * 7}" for n in range(600))
    model = Says(ports)
    done = await gathered(asked(f"name,region,amount\n{rows}", "What is the total amount per region?"), model)
    assert model.prompts == []
    assert (done.plan.strategy, done.notes[-1].data["rows"]) == ("gather", 600)
    assert f"sum {sum(n * 7 for n in range(600))};" in done.prompt[-1].text
    assert f"South {sum(n * 7 for n in range(0, 600, 3))}" in done.prompt[-1].text
    assert fits(done)


async def test_two_documents_are_kept_apart() -> None:
    def story(name: str) -> str:
        return "\n\n".join(f"Clause {n}: the {name} pays {n} a month, in advance and without delay." for n in range(90))

    text = f"Contract A\n\n{story('tenant')}\n\nContract B\n\n{story('lodger')}"
    assert [document.title for document in documents_in(text)] == ["Contract A", "Contract B"]
    model = Says(lambda prompt: "The rent is due in advance and grows from clause to clause.")
    done = await gathered(asked(text, "What are the differences between the two contracts?"), model)
    assert not any("tenant" in prompt and "lodger" in prompt for prompt in model.prompts if "part " in prompt[:60])
    assert any("in the document “Contract A”" in prompt for prompt in model.prompts)
    assert done.notes[-1].data["documents"] == 2
    assert {chunk.source for chunk in done.chunks} == {"Contract A", "Contract B"}
    assert "] Contract B" in done.prompt[-1].text
    assert len(model.prompts) <= done.notes[-1].data["quote"]["calls"]


async def test_over_the_cap_it_is_refused_with_figures_and_names() -> None:
    with pytest.raises(ContextTooLong, match=r"most_calls is 2.*\"focus\"") as refusal:
        await gathered(asked(STORY, "List every port that is mentioned."), Says(ports), most_calls=2)
    assert refusal.value.code == "context_length_exceeded"
    assert refusal.value.prompt_tokens > WINDOW


async def test_a_system_message_can_say_what_to_do_with_the_users_text() -> None:
    model = Says(ports)
    exchange = asked(STORY, "")
    turns = (Turn("system", "List every port that the user's text mentions.", 0), Turn("user", STORY, 1))
    done = await gathered(replace(exchange, ask=replace(exchange.ask, turns=turns)), model)
    assert done.plan.strategy == "gather"
    assert all("Task: List every port that the user's text mentions." in prompt for prompt in model.prompts)
    assert done.prompt[0].role == "system"


async def test_rows_are_sorted_by_code_where_the_task_plainly_says_so() -> None:
    rows = [f"item {n},2024-0{1 + n % 9}-11,{n * 37 % 601}" for n in range(600)]
    text = "\n".join(["name,date,amount", *rows])
    model = Says(ports)
    done = await gathered(asked(text, "Sort the rows by amount, highest first."), model)
    assert model.prompts == []
    head, *lines = done.composed.split("\n")
    assert head == "name,date,amount"
    assert sorted(lines) == sorted(rows)
    amounts = [int(line.rsplit(",", 1)[1]) for line in lines]
    assert amounts == sorted(amounts, reverse=True)
    assert done.plan.said == "600 rows sorted by code"


async def test_rows_are_not_sorted_by_a_guess() -> None:
    rows = "\n".join(f"item {n},about {n},{n}" for n in range(600))
    done = await gathered(asked(f"name,price,amount\n{rows}", "Sort the rows by price."), Says(lambda prompt: "- x"))
    assert done.composed == ""

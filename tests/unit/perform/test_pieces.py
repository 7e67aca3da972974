"""A long text is transformed piece by piece: nothing lost, nothing doubled, in order, within its quote."""

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ask import Ask, Controls, Endpoint, Turn
from gateway.backends.call import Caller
from gateway.context.condense import CondenseStage
from gateway.context.long.read import LongReader
from gateway.errors import BackendFailed, BadRequest, ContextTooLong
from gateway.exchange import Exchange, Target
from gateway.perform.pieces import perform_pieces
from gateway.ports import Headers, Reply
from gateway.settings.context import Context
from gateway.state.memory import MemoryState
from gateway.wire.chat.answer import read_answer

TOKEN = re.compile(r"\w+|[^\w\s]")
SENTENCE = re.compile(r"S(\d+) [^.!?]*[.!?]")
ENDINGS = (" ", "\n", "\n\n", "\n- ")


def count(backend: str, text: str) -> int:
    return len(TOKEN.findall(text))


class MarksEachSentence:
    """A backend whose model puts every sentence of the piece into brackets. `tokens` limits its answers."""

    def __init__(self, window: int, tokens: int = 10**6) -> None:
        self.window, self.tokens = window, tokens
        self.limited = "S"
        self.prompts: list[str] = []
        self.bodies: list[bytes] = []
        self.fails: dict[str, int] = {}
        self.delays: dict[str, float] = {}

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        (turn,) = exchange.prompt
        self.prompts.append(turn.text)
        self.bodies.append(exchange.ask.raw)
        assert count("", turn.text) + exchange.sampling.max_tokens <= self.window
        for mark, times in self.fails.items():
            if mark in turn.text and times:
                self.fails[mark] -= 1
                raise BackendFailed("down")
        await asyncio.sleep(next((delay for mark, delay in self.delays.items() if mark in turn.text), 0))
        words = " ".join(f"[{match[0]}]" for match in SENTENCE.finditer(turn.text)).split(" ")
        limit = self.tokens if self.limited in turn.text else 10**6
        said, finish = " ".join(words[:limit]), "stop" if len(words) <= limit else "length"
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}
        usage = {"prompt_tokens": count("", turn.text), "completion_tokens": count("", said)}
        return Reply(200, (), json.dumps({"choices": [choice], "usage": usage}).encode(), backend="up", model=model)


FRENCH = "Translate the text into French."


def asked(
    text: str, window: int, *, stream: bool = False, strategy: str = "", room: int = 0, task: str = FRENCH
) -> Exchange:
    message = f"{task}\n\n{text}"
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": message}], "stream": stream}
    if room:
        body["max_tokens"] = room
    raw = json.dumps(body).encode()
    turns, controls = (Turn("user", message, 0),), Controls(strategy=strategy)
    ask = Ask(Endpoint.CHAT, "m", raw, turns, stream, room_tokens=room, controls=controls)
    return Exchange("x", ask, route=(Target("up", "small", window),))


async def prepared(exchange: Exchange, **limits: int) -> Exchange:
    limits = {"most_calls": 10_000, "most_tokens": 10**7, "piece_tokens": 10_000, **limits}
    return await CondenseStage(Context(**limits), count, LongReader(Silent(), 4))(exchange)


class Silent:
    """A completer that is asked for the forms of names only."""

    async def complete(self, *args: Any, **named: Any) -> Any:
        raise BackendFailed("nothing")


async def answered(exchange: Exchange, model: MarksEachSentence) -> tuple[Exchange, Reply, str]:
    assert exchange.pieces is not None
    caller = Caller({"up": model}, MemoryState())
    done, reply = await perform_pieces(exchange, exchange.pieces, (), caller, asyncio.Semaphore(4))
    if reply.pieces is None:
        return done, reply, read_answer(reply.body, "application/json").text
    events = b"".join([piece async for piece in reply.pieces])
    assert events.endswith(b"data: [DONE]\n\n")
    return done, reply, read_answer(events, "text/event-stream").text


def text_of(endings: list[int], words: int) -> str:
    return "".join(f"S{n} {'word ' * words}ends.{ENDINGS[kind]}" for n, kind in enumerate(endings)).strip(" -\n")


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 3), min_size=40, max_size=400), st.integers(2, 30), st.integers(900, 4000), st.booleans()
)
def test_no_sentence_is_lost_or_doubled_wherever_the_cuts_fall(
    endings: list[int], words: int, window: int, stream: bool
) -> None:
    async def run() -> None:
        exchange = await prepared(asked(text_of(endings, words), window, stream=stream, strategy="piecewise"))
        model = MarksEachSentence(window)
        _, reply, said = await answered(exchange, model)
        assert [int(n) for n in re.findall(r"\[S(\d+) [^\]]*ends\.\]", said)] == list(range(len(endings)))
        quote = exchange.notes[-1].data["quote"]
        spent = reply.notes[-1].data
        assert spent["calls"] <= quote["calls"]
        assert spent["tokens_in"] <= quote["tokens_in"]
        assert spent["tokens_out"] <= quote["tokens_out"]

    asyncio.run(run())


async def test_twenty_thousand_tokens_go_through_a_window_of_eight_thousand() -> None:
    text = text_of([n % 4 for n in range(1250)], 13)
    assert count("", text) > 20_000
    exchange = await prepared(asked(text, 8192), piece_tokens=1500)
    assert exchange.plan.strategy == "piecewise"
    _, _, said = await answered(exchange, MarksEachSentence(8192))
    assert [int(n) for n in re.findall(r"\[S(\d+) ", said)] == list(range(1250))


async def test_an_answer_at_its_limit_is_made_again_from_halves() -> None:
    exchange = await prepared(asked(text_of([0] * 100, 10), 2000, strategy="piecewise"))
    model = MarksEachSentence(2000, tokens=400)
    model.limited = "S5 "
    _, reply, said = await answered(exchange, model)
    assert [int(n) for n in re.findall(r"\[S(\d+) [^\]]*ends\.\]", said)] == list(range(100))
    assert reply.notes[-1].data["cut"] == []
    assert reply.notes[-1].data["calls"] <= exchange.notes[-1].data["quote"]["calls"]


async def test_what_is_still_cut_is_named_and_nothing_is_spent_beyond_the_quote() -> None:
    exchange = await prepared(asked(text_of([0] * 200, 10), 2000, strategy="piecewise"))
    _, reply, _ = await answered(exchange, MarksEachSentence(2000, tokens=60))
    spent, quote = reply.notes[-1].data, exchange.notes[-1].data["quote"]
    assert spent["cut"]
    assert json.loads(reply.body)["choices"][0]["finish_reason"] == "length"
    assert spent["calls"] <= quote["calls"]
    assert spent["tokens_in"] <= quote["tokens_in"]


async def test_pieces_are_sent_in_order_though_a_later_one_is_done_first() -> None:
    model = MarksEachSentence(1200)
    model.delays = {"S0 ": 0.05}
    exchange = await prepared(asked(text_of([2] * 120, 10), 1200, stream=True))
    _, _, said = await answered(exchange, model)
    assert [int(n) for n in re.findall(r"\[S(\d+) ", said)] == list(range(120))


async def test_a_piece_that_fails_is_tried_once_more_and_then_the_answer_fails() -> None:
    exchange = await prepared(asked(text_of([2] * 120, 10), 1200))
    model = MarksEachSentence(1200)
    model.fails = {"S100 ": 1}
    assert "[S100 " in (await answered(exchange, model))[2]
    model.fails = {"S100 ": 9}
    with pytest.raises(BackendFailed):
        await answered(exchange, model)


async def test_the_clients_own_words_go_with_every_piece() -> None:
    exchange = await prepared(asked(text_of([2] * 120, 10), 1200))
    model = MarksEachSentence(1200)
    await answered(exchange, model)
    assert len(model.prompts) > 3
    assert all("Translate the text into French.\n\nS" in prompt for prompt in model.prompts)
    assert "part 2 of" in model.prompts[1]


async def test_names_that_recur_are_named_in_every_piece() -> None:
    text = "\n\n".join(f"S{n} it was said that Marta Klein and the Orion Council met there again." for n in range(120))
    exchange = await prepared(asked(text, 1500, task="Rewrite this in the past tense."))
    assert exchange.pieces is not None
    assert "Marta Klein" in exchange.pieces.note
    assert "Orion Council" in exchange.pieces.note


async def test_the_clients_limit_holds_for_the_whole_answer() -> None:
    exchange = await prepared(asked(text_of([2] * 120, 10), 1500, room=300))
    _, reply, said = await answered(exchange, MarksEachSentence(1500))
    assert json.loads(reply.body)["choices"][0]["finish_reason"] == "length"
    assert "[S0 " in said
    assert "[S119 " not in said
    assert count("", said) <= 300


async def test_a_limit_beyond_the_window_is_no_obstacle() -> None:
    exchange = await prepared(asked(text_of([2] * 120, 10), 1500, room=100_000))
    model = MarksEachSentence(1500)
    _, reply, said = await answered(exchange, model)
    assert [int(n) for n in re.findall(r"\[S(\d+) ", said)] == list(range(120))
    assert json.loads(reply.body)["choices"][0]["finish_reason"] == "stop"
    assert all(b"max_tokens" not in raw for raw in model.bodies)


async def test_what_would_cost_more_than_the_cap_is_refused_with_the_figures() -> None:
    with pytest.raises(ContextTooLong, match=r"most_calls is 2.*focus"):
        await prepared(asked(text_of([2] * 120, 10), 1200), most_calls=2)
    with pytest.raises(BadRequest, match="most_calls is 2"):
        await prepared(asked(text_of([2] * 120, 10), 1200, strategy="piecewise"), most_calls=2)


async def test_rows_of_a_table_fit_the_window_with_the_title_row_in_every_prompt() -> None:
    rows = "\n".join(f"| S{n} row. | {n} | {n * 3} |" for n in range(400))
    title = "| name of the thing | number of it | amount in all |\n|---|---|---|"
    exchange = await prepared(asked(f"{title}\n{rows}", 900, strategy="piecewise"))
    model = MarksEachSentence(900)
    _, _, said = await answered(exchange, model)
    assert [int(n) for n in re.findall(r"\[S(\d+) ", said)] == list(range(400))
    assert all(title in prompt for prompt in model.prompts)

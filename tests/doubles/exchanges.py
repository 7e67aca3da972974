"""A finished exchange with a value in every field."""

from gateway.ask import Ask, ClientKey, Controls, Endpoint, Turn
from gateway.exchange import Chunk, ContextPlan, Exchange, Intent, Note, Rewrite, Sampling, SlotValue, Target
from gateway.ports import ExchangeOutcome

BODY = (
    b'{"choices": [{"index": 0, "message": {"content": "The secret answer."}, "finish_reason": "stop"}],'
    b' "usage": {"prompt_tokens": 7, "completion_tokens": 3}}'
)


def an_exchange(id: str = "ex-1", *, key: ClientKey | None = None, model: str = "small") -> Exchange:
    return Exchange(
        id,
        Ask(
            Endpoint.CHAT,
            model,
            b'{"model": "small", "messages": [{"role": "user", "content": "my secret question"}]}',
            (Turn("user", "my secret question", 0),),
            user="secret user",
            controls=Controls(conversation="secret conversation"),
        ),
        key or ClientKey("app"),
        started_s=1_800_000_000.0,
        intent=Intent("classify-text", 0.9, 0.8, "en", "static", ("near 'secret question'",)),
        turns=(Turn("system", "Answer in one word."), Turn("user", "my secret question")),
        sampling=Sampling(8, 0.0, ("\n",)),
        rewrite=Rewrite("classify-text/en", 2, "few-shot", (SlotValue("text", "my secret", "query", 0, 9),), ("17",)),
        chunks=(Chunk("c1", "handbook", "book.md", "a secret passage", heading="The secret heading", score=0.5),),
        plan=ContextPlan("direct", 8192, 20),
        route=(Target("main", "small-v2", 8192),),
        notes=(Note("rewrite", "rewritten", "it asks a secret", {"slots": ["my secret"], "score": 0.5}, 120),),
    )


def an_outcome(body: bytes = BODY) -> ExchangeOutcome:
    return ExchangeOutcome(
        "finished", 200, "main", "small-v2", "application/json", body=body, first_byte_us=900, total_us=1000
    )

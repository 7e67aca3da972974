"""Makes the calls of a template that come before the answer, for background knowledge or a rephrased question."""

from collections.abc import Mapping, Sequence

from gateway.ask import Turn
from gateway.exchange import Call, Exchange, Sampling
from gateway.own_call import own_call
from gateway.ports import Completer
from gateway.prompt.templates.fields import FirstCall, Shot
from gateway.prompt.templates.template import Template


class CallFailed(Exception):
    """A first call failed. `calls` are the calls made so far, including the failed one."""

    def __init__(self, reason: str, calls: tuple[Call, ...]) -> None:
        super().__init__(reason)
        self.reason, self.calls = reason, calls


async def first_calls(
    template: Template,
    exchange: Exchange,
    values: Mapping[str, str],
    shots: Sequence[Shot],
    labels: Sequence[str],
    completer: Completer,
) -> tuple[dict[str, str], tuple[Call, ...]]:
    """Make the calls. Return the slot values with the answers added, and the calls with their cost.

    Raises `CallFailed`, or `TemplateError` if the prompt of a call is too long.
    """
    known, made = dict(values), list[Call]()
    for name, wish in template.calls.items():
        prompt = template.ask_first(name, known, shots, labels)
        text, call = await _call(exchange, prompt, name, wish, completer)
        made.append(call)
        if not text:
            raise CallFailed(f"the call {name!r} of {template.id} failed: {call.error or 'it is empty'}", tuple(made))
        known[name] = text
    return known, tuple(made)


def stand_ins(template: Template) -> dict[str, str]:
    """Return placeholders for the answers of the first calls. The placeholders are used where no model is called."""
    return {name: f"[{name}: a model writes this first]" for name in template.calls}


async def _call(exchange: Exchange, prompt: str, name: str, wish: FirstCall, completer: Completer) -> tuple[str, Call]:
    return await own_call(
        completer,
        exchange,
        [Turn("user", prompt)],
        purpose=name,
        model=wish.model,
        sampling=Sampling(wish.max_tokens, wish.temperature, wish.stop),
        timeout_s=wish.timeout_s,
    )
